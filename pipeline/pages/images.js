// The slider: shows the grid of the chosen moment and tells which it is, to eyes and ears.
(() => {
  const grids = document.getElementById("grids");
  const frames = JSON.parse(grids.querySelector("script").textContent);
  const [image, moment, told] = ["img", "input", "output"].map((n) => grids.querySelector(n));
  const show = () => {
    const { image: source, label } = frames[moment.value];
    image.src = source;
    image.alt = `samples, ${label}`;
    told.textContent = label;
    moment.setAttribute("aria-valuetext", label);
  };
  moment.addEventListener("input", show);
  show(); // a browser may have kept where the slider stood
})();
