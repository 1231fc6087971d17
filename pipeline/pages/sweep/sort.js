// Tables whose headings order them: once upwards, once more downwards; empty cells stay last.
(() => {
  const value = (row, place, number) => {
    const text = row.cells[place].textContent;
    return number ? parseFloat(text) : text;
  };
  const missing = (found) => found === "" || Number.isNaN(found);
  const compare = (one, other) =>
    typeof one === "number" ? one - other : one.localeCompare(other);
  for (const table of document.querySelectorAll("table.sortable")) {
    const [body] = table.tBodies;
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, place) => {
      const number = heading.classList.contains("number");
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
        const ordered = [...body.rows].sort((one, other) => {
          const [a, b] = [one, other].map((row) => value(row, place, number));
          if (missing(a) || missing(b)) return missing(a) - missing(b);
          return sign * compare(a, b);
        });
        body.append(...ordered);
      });
    });
  }
})();
