"""Rows as RAGFlow's callers use them: attributes that can be assigned, and `to_dict()` with the keys that they know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as member
from datetime import datetime
from typing import Any, ClassVar, NoReturn, Self

from conversation_store import _validation as validate
from conversation_store.errors import InvalidArgument, NotFound
from conversation_store.ragflow._conditions import Condition, checked_conditions
from conversation_store.ragflow._fields import DateField, Field, JsonField, NumberField, TimeField
from conversation_store.ragflow._settings import Settings, settings, without_secrets


@dataclass(slots=True)
class Origin:
    """Where the values of a row were read, or were stored last."""

    tenant_id: str
    id: str | int
    dialog_id: str | None = None
    revision: int = 0
    read: Mapping[str, Any] = member(default_factory=dict[str, Any])  # what may be changed, of a token


class Values(dict[str, Any]):
    """The values of a row by their names, and where they were read, by which a stale write is recognised."""

    __slots__ = ("origin",)

    def __init__(self, values: Mapping[str, Any], origin: Origin | None = None) -> None:
        super().__init__(values)
        self.origin = origin

    def of_columns(self, names: Sequence[str]) -> Values:
        """Return the values of some columns."""
        return Values({name: self[name] for name in names}, self.origin)

    def read(self, id: int) -> Mapping[str, Any]:
        """Return what was read of the row with this id, or nothing of any other row."""
        return self.origin.read if self.origin is not None and self.origin.id == id else {}

    def copy(self) -> Values:
        """Return a copy that was read where this was; when one of the two is written, the other one is stale."""
        return Values(self, None if self.origin is None else replace(self.origin))

    __copy__ = copy

    def __reduce__(self) -> tuple[Any, ...]:
        return Values, (dict(self), self.origin)


class Refused:
    """What there is in RAGFlow, or in Peewee, and cannot be kept: it names the way around."""

    def __init__(self, instead: str) -> None:
        self._instead = instead

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, row: object, owner: type) -> NoReturn:
        raise NotImplementedError(f"{owner.__name__}.{self._name}: {self._instead}")


_NO_MODEL = (
    "use the methods of the service, or the store; a search in what a user has is"
    " store.for_tenant(tenant_id).conversations.search(keywords, user_id=…, exp_user_id=…)"
)


class Row:
    """A row of a table of RAGFlow."""

    DoesNotExist: ClassVar[type[NotFound]]
    _defaults: ClassVar[Mapping[str, Callable[[], Any]]]

    create_time = TimeField[int]()
    create_date = DateField[datetime]()
    update_time = TimeField[int]()
    update_date = DateField[datetime]()

    _fields: ClassVar[Mapping[str, Field[Any]]] = {}
    _values: Values

    def __init_subclass__(cls) -> None:
        own: dict[str, Any] = {**vars(Row), **vars(cls)}
        cls._fields = {name: field for name, field in own.items() if isinstance(field, Field)}

    def __init__(self, **values: Any) -> None:
        self._values = Values({name: default() for name, default in self._defaults.items()})
        for name, value in values.items():
            setattr(self, name, value)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def to_dict(self) -> dict[str, Any]:
        """Return the values of the row by their names; what is changed in them is changed in the row.

        Dates are naive, of whole seconds, in the time zone that is configured. Written back, they are recognised when
        the row was changed in between, unless they were copied into another dict.
        """
        return self._values

    to_json = to_dict

    @classmethod
    def of(cls, values: Values) -> Self:
        """Return the row that has these values."""
        row = cls.__new__(cls)
        row._values = values
        return row

    @classmethod
    @without_secrets
    def query(cls, reverse: bool | None = None, order_by: str | None = None, **filters: Any) -> list[Self]:
        """Return the rows that have these values, all of them.

        A value of None is no filter, and without any filter there are no rows, as it is there. A list or a set means
        one of its members; of a number or a date, a list has the two ends of a range, of which one may be None.
        """
        given = {name: value for name, value in filters.items() if value is not None}
        conditions = given_conditions(cls, given)
        return cls.find(conditions, None, reverse, order_by) if conditions else []

    @classmethod
    @without_secrets
    def get(cls, *conditions: Condition, **filters: Any) -> Self:
        """Return the row for which the conditions hold and that has these values; raises `DoesNotExist`."""
        where = [*conditions, *(field_of(cls, name) == value for name, value in filters.items())]
        found = cls.find(checked_conditions(where))
        if not found:
            raise cls.DoesNotExist(f"there is no such row of {cls.__name__}")
        return found[0]

    @classmethod
    @without_secrets
    def get_or_none(cls, *conditions: Condition, **filters: Any) -> Self | None:
        """Return what `get` returns, or None."""
        try:
            return cls.get(*conditions, **filters)
        except cls.DoesNotExist:
            return None

    @classmethod
    @without_secrets
    def find(
        cls,
        where: Sequence[Condition],
        cols: Iterable[Any] | None = None,
        reverse: bool | None = None,
        order_by: str | None = None,
    ) -> list[Self]:
        """Return the rows for which all conditions hold, with these columns or with all.

        They are in order of a field, by default of their creation, or in any order where *reverse* is None.
        """
        names = column_names(cls, cols)
        key = validate.choice("order_by", order_by or "create_time", sortable_names(cls))
        found = cls.find_values(settings(), where, names)
        if reverse is not None:
            downwards = validate.boolean("reverse", reverse)
            found = sorted(found, key=lambda values: (values[key] is not None, values[key]), reverse=downwards)
        return [cls.of(values.of_columns(names)) for values in found]

    @classmethod
    def find_values(cls, current: Settings, where: Sequence[Condition], names: Sequence[str] = ()) -> Iterable[Values]:
        """Return the values of the rows for which all conditions hold.

        JSON that is in none of these columns need not be read.
        """
        raise NotImplementedError

    select = Refused(_NO_MODEL)
    insert = Refused(_NO_MODEL)
    insert_many = Refused(_NO_MODEL)
    update = Refused(_NO_MODEL)
    delete = Refused(_NO_MODEL)
    create = Refused(_NO_MODEL)
    raw = Refused(_NO_MODEL)
    save = Refused(_NO_MODEL)
    delete_instance = Refused(_NO_MODEL)
    getter_by = Refused(_NO_MODEL)


def fields_of(model: type[Row]) -> Mapping[str, Field[Any]]:
    """Return the fields of a table by their names."""
    return model._fields  # pyright: ignore[reportPrivateUsage]


def field_of(model: type[Row], name: object) -> Field[Any]:
    """Return the field with this name; raises `InvalidArgument` where there is none."""
    allowed = fields_of(model)
    if not isinstance(name, str) or name not in allowed:
        del name  # it may be a secret
        raise InvalidArgument(f"a field of {model.__name__} must be one of {', '.join(allowed)}")
    return allowed[name]


def sortable_names(model: type[Row]) -> list[str]:
    """Return the names of the fields that rows can be sorted by."""
    return [name for name, field in fields_of(model).items() if not isinstance(field, JsonField)]


def column_names(model: type[Row], cols: object) -> list[str]:
    """Return the names of columns, given as fields or as names; None or no columns are all of them."""
    given = () if cols is None else validate.members("cols", cols, "a list of fields")
    names = [field_of(model, col.name if isinstance(col, Field) else col).name for col in given]
    return names or list(fields_of(model))


def given_conditions(model: type[Row], filters: Mapping[str, Any]) -> list[Condition]:
    """Return the conditions of keyword arguments, none of which is None."""
    conditions: list[Condition] = []
    for name, value in filters.items():
        field = field_of(model, name)
        if not isinstance(value, (list, set, tuple)):
            conditions.append(field == value)
        elif isinstance(field, (NumberField, DateField)) and not isinstance(value, set):
            conditions += _range(name, field, list(value))  # pyright: ignore[reportUnknownArgumentType]
        else:
            conditions.append(field.in_(value))  # pyright: ignore[reportUnknownArgumentType]
    return conditions


def _range(name: str, field: Field[Any], ends: list[Any]) -> list[Condition]:
    if len(ends) != 2:
        raise InvalidArgument(f"{name} must be one value, or a list of two, which are the ends of a range")
    least, most = ends
    return ([] if least is None else [field >= least]) + ([] if most is None else [field <= most])
