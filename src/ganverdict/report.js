// The curves in the colours of the page, which follow the reader's choice of light or dark.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const paint = () => {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const [ink, quiet, line] = ["ink", "quiet", "line"].map(colour);
    for (const page of Bokeh.documents) {
      for (const model of page.all_models) {
        if (/Axis$/.test(model.type)) {
          model.setv({
            axis_label_text_color: ink, major_label_text_color: ink, axis_line_color: quiet,
            major_tick_line_color: quiet, minor_tick_line_color: null,
          });
        } else if (model.type === "Grid") {
          model.setv({ grid_line_color: line });
        } else if (model.type === "Legend") {
          model.setv({ label_text_color: ink });
        } else if (model.type === "ColorBar") {
          model.setv({ title_text_color: ink, major_label_text_color: ink });
        } else if (model.tags.includes("ink")) {
          model.setv(model.type === "Label" ? { text_color: ink } : { line_color: ink });
        } else if (model.tags.includes("quiet")) {
          model.setv("fill_color" in model ? { line_color: quiet, fill_color: quiet }
            : { line_color: quiet });
        } else if (model.tags.includes("star")) {
          model.setv({ line_color: ink, fill_color: ink });
        }
      }
    }
  };
  // A finger that moves up or down over a curve scrolls the page; to the side, it zooms.
  const loosen = (root) => {
    for (const element of root.querySelectorAll("*")) {
      if (element.classList.contains("bk-events")) {
        element.style.setProperty("touch-action", "pan-y pinch-zoom", "important");
      }
      if (element.shadowRoot) loosen(element.shadowRoot);
    }
  };
  const wait = () => {
    if (!Bokeh.documents.length || !Bokeh.documents.every((page) => page.is_idle)) {
      setTimeout(wait, 30);
      return;
    }
    paint();
    loosen(document);
  };
  dark.addEventListener("change", paint);
  wait();
})();
