// The boxes above the curves of a sweep: each shows or hides the curves of one kind.
(() => {
  for (const box of document.querySelectorAll("input[data-kind]")) {
    box.addEventListener("change", () => {
      for (const page of Bokeh.documents) {
        for (const model of page.all_models) {
          if (model.name === box.dataset.kind) model.visible = box.checked;
        }
      }
    });
  }
})();
