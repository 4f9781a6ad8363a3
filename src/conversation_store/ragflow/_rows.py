"""Rows as RAGFlow's callers use them: attributes that can be assigned, and `to_dict()` with the keys that they know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as member
from datetime import datetime
from typing import Any, ClassVar, Self

from conversation_store import _validation as validate
from conversation_store.errors import InvalidArgument, NotFound
from conversation_store.ragflow._fields import Condition, DateField, Field, JsonField, NumberField, checked_conditions


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the values of a row were read."""

    tenant_id: str
    id: str | int
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
        """Return a copy that was read where this was."""
        return Values(self, self.origin)

    def __reduce__(self) -> tuple[Any, ...]:
        return Values, (dict(self), self.origin)


class Row:
    """A row of a table of RAGFlow."""

    DoesNotExist: ClassVar[type[NotFound]]
    _defaults: ClassVar[Mapping[str, Callable[[], Any]]]

    create_time = NumberField[int]()
    create_date = DateField[datetime]()
    update_time = NumberField[int]()
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
    def query(cls, reverse: bool | None = None, order_by: str | None = None, **filters: Any) -> list[Self]:
        """Return the rows that have these values, all of them.

        A value of None is no filter, and without any filter there are no rows, as it is there. A list or a set means
        one of its members, and for a number or a date two ends of a range, of which one may be None.
        """
        given = {name: value for name, value in filters.items() if value is not None}
        return cls.find(given_conditions(cls, given), None, reverse, order_by) if given else []

    @classmethod
    def get(cls, *conditions: Condition, **filters: Any) -> Self:
        """Return the row for which the conditions hold and that has these values; raises `DoesNotExist`."""
        where = [*conditions, *(_field(cls, name) == value for name, value in filters.items())]
        found = cls.find(checked_conditions(where))
        if not found:
            raise cls.DoesNotExist(f"there is no such row of {cls.__name__}")
        return found[0]

    @classmethod
    def get_or_none(cls, *conditions: Condition, **filters: Any) -> Self | None:
        """Return what `get` returns, or None."""
        try:
            return cls.get(*conditions, **filters)
        except cls.DoesNotExist:
            return None

    @classmethod
    def select(cls, *cols: Any) -> Any:
        """Raise `NotImplementedError`: there is no query builder."""
        raise NotImplementedError(
            f"{cls.__name__}.select: use the methods of the service, or the store; a search in what a user has is"
            " store.for_tenant(tenant_id).conversations.search(keywords, user_id=…, exp_user_id=…)"
        )

    @classmethod
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
        found = cls.find_values(where)
        if reverse is not None:
            key = order_by or "create_time"
            sortable = [name for name, field in fields_of(cls).items() if not isinstance(field, JsonField)]
            validate.choice("order_by", key, sortable)
            found = sorted(found, key=lambda values: (values[key] is not None, values[key]), reverse=reverse)
        return [cls.of(values.of_columns(names)) for values in found]

    @classmethod
    def find_values(cls, where: Sequence[Condition]) -> Iterable[Values]:
        """Return the values of the rows for which all conditions hold."""
        raise NotImplementedError


def fields_of(model: type[Row]) -> Mapping[str, Field[Any]]:
    """Return the fields of a table by their names."""
    return model._fields  # pyright: ignore[reportPrivateUsage]


def _field(model: type[Row], name: object) -> Field[Any]:
    allowed = fields_of(model)
    return allowed[validate.choice(f"a field of {model.__name__}", name, tuple(allowed))]


def column_names(model: type[Row], cols: Iterable[Any] | None) -> list[str]:
    """Return the names of columns, given as fields or as names; None or no columns are all of them."""
    names = [col.name if isinstance(col, Field) else col for col in cols or ()]
    return [_field(model, name).name for name in names] or list(fields_of(model))


def given_conditions(model: type[Row], filters: Mapping[str, Any]) -> list[Condition]:
    """Return the conditions of keyword arguments, none of which is None."""
    conditions: list[Condition] = []
    for name, value in filters.items():
        field = _field(model, name)
        if not isinstance(value, (list, set, tuple)):
            conditions.append(field == value)
        elif not isinstance(field, (NumberField, DateField)):
            conditions.append(field.in_(value))  # pyright: ignore[reportUnknownArgumentType]
        else:
            conditions += _range(name, field, list(value))  # pyright: ignore[reportUnknownArgumentType]
    return conditions


def _range(name: str, field: Field[Any], ends: list[Any]) -> list[Condition]:
    if len(ends) != 2:
        raise InvalidArgument(f"{name} must be one value, or a list of two, which are the ends of a range")
    least, most = ends
    return ([] if least is None else [field >= least]) + ([] if most is None else [field <= most])
