// The page is whole without this: it adds the search, the keys, the switch of light and dark, and copying.
"use strict";
(() => {
  const root = document.documentElement;
  const stored = {
    get: () => { try { return localStorage.getItem("review-theme"); } catch { return null; } },
    set: (value) => { try { localStorage.setItem("review-theme", value); } catch { /* it holds for this page */ } },
  };
  if (stored.get()) root.dataset.theme = stored.get();

  const ready = () => {
    const byId = (id) => document.getElementById(id);
    const all = (selector, within = document) => [...within.querySelectorAll(selector)];
    const statements = all(".statement");
    const search = byId("search");
    for (const element of [byId("finder"), byId("theme"), byId("open-all"), ...all(".keys")]) element.hidden = false;

    // -- light and dark ---------------------------------------------------------------------
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
    const label = () => { byId("theme").textContent = isDark() ? "Light" : "Dark"; };
    byId("theme").addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      stored.set(root.dataset.theme);
      label();
    });
    dark.addEventListener("change", label);
    label();

    // -- links ------------------------------------------------------------------------------
    const arrive = () => {
      const target = byId(location.hash.slice(1)) || byId(decodeURIComponent(location.hash.slice(1)));
      if (!target) return;
      if (target.closest(".rest, [hidden]")) show("", []);
      for (let at = target; at; at = at.parentElement?.closest("details")) if (at.matches("details")) at.open = true;
      for (const link of all("[aria-current]")) link.removeAttribute("aria-current");
      all(`.side nav a[href="${CSS.escape(location.hash).replace(/^\\#/, "#")}"]`).forEach((link) => link.setAttribute("aria-current", "true"));
      target.scrollIntoView();
      const summary = target.matches("details") ? target.querySelector("summary") : null;
      if (summary) summary.focus({ preventScroll: true });
    };
    addEventListener("hashchange", arrive);
    // A second click on a link opens again what was closed meanwhile.
    document.addEventListener("click", (event) => {
      const link = event.target.closest?.('a[href^="#"]');
      if (link && link.getAttribute("href") === location.hash) arrive();
    });

    // -- search and filters -----------------------------------------------------------------
    const texts = new Map();
    const textOf = (statement) => {
      if (!texts.has(statement)) {
        const parts = all("summary h4, .purpose, .badge, .facts, .signature, pre", statement);
        texts.set(statement, parts.filter((part) => !part.closest(".plans")).map((part) => part.textContent).join("\n").toLowerCase());
      }
      return texts.get(statement);
    };
    const chips = all(".chip");
    const pressed = () => chips.filter((chip) => chip.getAttribute("aria-pressed") === "true").map((chip) => chip.dataset.filter);
    const visible = () => statements.filter((statement) => !statement.hidden);

    const show = (text, kinds) => {
      search.value = text;
      for (const chip of chips) chip.setAttribute("aria-pressed", String(kinds.includes(chip.dataset.filter)));
      refresh();
    };
    const refresh = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const kinds = pressed();
      const narrowed = words.length > 0 || kinds.length > 0;
      for (const statement of statements) {
        const is = statement.dataset.is.split(" ");
        statement.hidden = !(kinds.every((kind) => is.includes(kind)) && words.every((word) => textOf(statement).includes(word)));
        hint(statement, words);
      }
      for (const item of all(".side nav [data-of]")) item.hidden = byId(item.dataset.of).hidden;
      for (const group of all(".names .group")) group.hidden = !all("li:not([hidden])", group.nextElementSibling).length;
      for (const folder of all(".of-folder")) {
        const count = all(".statement:not([hidden])", folder).length;
        folder.hidden = !count;
        folder.querySelector(".found").textContent = narrowed ? `${count} of ` : "";
      }
      for (const section of all(".rest")) section.hidden = narrowed;
      const count = visible().length;
      byId("found").textContent = narrowed ? (count ? `${count} of ${statements.length} statements` : "No statement has all of that.") : "";
      highlight(words);
    };
    // The first line with the rarest of the words that name and purpose do not have.
    const hint = (statement, words) => {
      const summary = statement.querySelector("summary");
      summary.querySelector(".hit")?.remove();
      if (statement.hidden || !words.length) return;
      const head = `${summary.querySelector("h4").textContent} ${summary.querySelector(".purpose").textContent}`.toLowerCase();
      const lines = all("pre.numbered > span", statement).map((line) => line.textContent);
      const linesOf = (word) => lines.flatMap((line, at) => (line.toLowerCase().includes(word) ? [at] : []));
      const found = words.filter((word) => !head.includes(word)).map(linesOf).filter((at) => at.length);
      if (!found.length) return;
      const [first, ...more] = found.reduce((least, each) => (each.length < least.length ? each : least));
      const line = document.createElement("code");
      line.className = "hit";
      line.textContent = `${first + 1}: ${lines[first].trim()}${more.length ? ` (and ${more.length} more)` : ""}`;
      summary.append(line);
    };
    const highlight = (words) => {
      if (!globalThis.Highlight || !CSS.highlights) return;
      CSS.highlights.delete("found");
      const long = words.filter((word) => word.length > 1);
      if (!long.length) return;
      const ranges = [];
      for (const statement of visible()) {
        const walker = document.createTreeWalker(statement, NodeFilter.SHOW_TEXT);
        for (let node = walker.nextNode(); node && ranges.length < 5000; node = walker.nextNode()) {
          const text = node.data.toLowerCase();
          for (const word of long) {
            for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + word.length)) {
              if (at + word.length > node.data.length) break;
              const range = new Range();
              range.setStart(node, at);
              range.setEnd(node, at + word.length);
              ranges.push(range);
            }
          }
        }
      }
      CSS.highlights.set("found", new Highlight(...ranges));
    };
    search.addEventListener("input", refresh);
    for (const chip of chips) {
      chip.addEventListener("click", () => {
        chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
        refresh();
      });
    }

    // -- keys -------------------------------------------------------------------------------
    const summaryOf = (statement) => statement.querySelector("summary");
    const move = (step) => {
      const list = visible();
      if (!list.length) return;
      const here = list.indexOf(document.activeElement?.closest?.(".statement"));
      let to = here + step;
      if (here < 0) {
        // From elsewhere: the first that is in sight.
        to = document.activeElement === search ? 0 : list.findIndex((statement) => statement.getBoundingClientRect().bottom > 60);
        if (to < 0) to = list.length - 1;
      }
      if (to < 0) return search.focus();
      const summary = summaryOf(list[Math.min(to, list.length - 1)]);
      summary.focus({ preventScroll: true });
      summary.scrollIntoView({ block: "nearest" });
    };
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
      const active = document.activeElement;
      const typing = active === search;
      const onSummary = active?.matches?.(".statement > summary");
      const act = (does) => { event.preventDefault(); does(); };
      if (event.key === "Escape" && (typing || search.value || pressed().length)) {
        act(() => { show("", []); if (!typing) active?.scrollIntoView?.({ block: "nearest" }); });
      } else if (typing && event.key === "Enter" && visible().length) {
        act(() => { visible()[0].open = true; summaryOf(visible()[0]).focus(); });
      } else if (typing && event.key === "ArrowDown") {
        act(() => move(1));
      } else if (!typing && event.key === "/") {
        act(() => { search.focus(); search.select(); });
      } else if (!typing && (event.key === "j" || (onSummary && event.key === "ArrowDown"))) {
        act(() => move(1));
      } else if (!typing && (event.key === "k" || (onSummary && event.key === "ArrowUp"))) {
        act(() => move(-1));
      }
    });

    // -- all at once, and copying -----------------------------------------------------------
    const openAll = byId("open-all");
    openAll.addEventListener("click", () => {
      const open = visible().some((statement) => !statement.open);
      for (const statement of visible()) statement.open = open;
      openAll.textContent = open ? "Close all" : "Open all";
    });
    addEventListener("beforeprint", () => { for (const details of all("details")) details.open = true; });
    if (navigator.clipboard) {
      for (const box of all(".statement .box")) {
        const button = document.createElement("button");
        button.type = "button";
        button.className = "plain-button";
        button.textContent = "Copy";
        button.addEventListener("click", async () => {
          try {
            await navigator.clipboard.writeText(box.querySelector("pre").textContent);
            button.textContent = "Copied";
          } catch {
            button.textContent = "Not allowed";
          }
          setTimeout(() => { button.textContent = "Copy"; }, 1500);
        });
        box.querySelector("header").append(button);
      }
    }
    arrive();
  };
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", ready);
  else ready();
})();
