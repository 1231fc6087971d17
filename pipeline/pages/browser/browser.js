import { load } from "./model.js";
import { between, normals, uniform } from "./noise.js";

const SIDE = 28, GAP = 2, COLUMNS = 8, ROWS = 8, DIGITS = 10;
const ALL = "all"; // a row for each digit
const WALK_MILLISECONDS = 3000;
const FRAME_MILLISECONDS = 200; // of the replay

const loading = load();
// For the console and the tests. draw: noise as rows of numbers in (-1, 1), a digit for each where the
// model is conditional -> a promise of their pixels in [0, 1], image by image, row by row.
window.ganverdict = {
  draw: async (noise, digits) =>
    (await (await loading).draw(Float32Array.from(noise.flat()), digits)).pixels,
  normals,
  between,
  uniform,
};

const find = (id) => document.getElementById(id);
const [grid, told, play, moment] = ["grid", "told", "play", "moment"].map(find);
const [fresh, walk, save] = ["new", "walk", "save"].map(find);

let model;
let here; // the noise of each place, normal numbers
let chosen = null; // a digit or ALL, where the model is conditional
let walking = null; // the walk that goes on, if one does
let playing; // the timer of the replay

// Drawing

// With ALL a column has one noise, so that each row shows it as another digit.
async function show() {
  const rows = chosen === ALL ? DIGITS : ROWS;
  const count = rows * COLUMNS, size = model.latentDim;
  const noise = new Float32Array(count * size), digits = [];
  for (let place = 0; place < count; place++) {
    const from = size * (chosen === ALL ? place % COLUMNS : place);
    noise.set(uniform(here.subarray(from, from + size)), size * place);
    digits.push(chosen === ALL ? Math.floor(place / COLUMNS) : chosen);
  }
  const { pixels, milliseconds } = await model.draw(noise, digits);
  paint(pixels, rows);
  told.textContent = `${count} digits in ${milliseconds.toFixed(0)} ms: ` +
    `${(milliseconds / count).toFixed(2)} ms an image` +
    (chosen === ALL ? "; each column is one noise" : "");
}

function paint(pixels, rows) {
  const [width, height] = [COLUMNS, rows].map((many) => many * (SIDE + GAP) - GAP);
  const picture = new ImageData(width, height);
  picture.data.fill(0);
  for (let byte = 3; byte < picture.data.length; byte += 4) picture.data[byte] = 255; // opaque
  pixels.forEach((pixel, index) => {
    const place = Math.floor(index / SIDE ** 2), inside = index % SIDE ** 2;
    const x = (place % COLUMNS) * (SIDE + GAP) + (inside % SIDE);
    const y = Math.floor(place / COLUMNS) * (SIDE + GAP) + Math.floor(inside / SIDE);
    picture.data.fill(Math.round(255 * pixel), 4 * (y * width + x), 4 * (y * width + x) + 3);
  });
  Object.assign(grid, { width, height });
  grid.getContext("2d").putImageData(picture, 0, 0);
}

function renew() {
  stand();
  here = normals(ROWS * COLUMNS * model.latentDim);
  show().catch(complain);
}

function stand() {
  walking = null;
  walk.textContent = "Walk";
}

// From noise to noise until it is told to stop; by the clock, however long an image takes.
async function go() {
  const mine = walking = {};
  walk.textContent = "Stop";
  for (let from = here; walking === mine; from = here) {
    const to = normals(from.length);
    const began = performance.now();
    for (let share = 0; share < 1 && walking === mine;) {
      await new Promise(requestAnimationFrame);
      if (walking !== mine) return;
      share = Math.min((performance.now() - began) / WALK_MILLISECONDS, 1);
      here = between(from, to, share);
      await show();
    }
  }
}

function download() {
  grid.toBlob((blob) => {
    const link = Object.assign(document.createElement("a"), {
      href: URL.createObjectURL(blob), download: "digits.png",
    });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // the browser reads it in its own time
  });
}

function offer() {
  const buttons = [ALL, ...Array(DIGITS).keys()].map((digit) => {
    const button = Object.assign(document.createElement("button"), {
      type: "button", textContent: digit, onclick: () => choose(digit),
    });
    find("choice").append(button);
    return [digit, button];
  });
  const choose = (digit) => {
    chosen = digit;
    for (const [its, button] of buttons) button.setAttribute("aria-pressed", its === digit);
    if (here && !walking) show().catch(complain);
  };
  choose(ALL);
  find("choice").hidden = false;
}

function complain(error) {
  stand();
  find("trouble").textContent = `The model could not be loaded or computed: ${error.message ?? error}`;
  find("trouble").hidden = false;
  told.textContent = "";
}

// The replay; its slider is images.js's

function rest() {
  clearInterval(playing);
  playing = undefined;
  play.textContent = "Play";
}

function advance() {
  if (moment.value === moment.max) return rest();
  moment.stepUp();
  moment.dispatchEvent(new Event("input"));
}

play.addEventListener("click", () => {
  if (playing) return rest();
  if (moment.value === moment.max) {
    moment.value = 0;
    moment.dispatchEvent(new Event("input"));
  }
  playing = setInterval(advance, FRAME_MILLISECONDS);
  play.textContent = "Stop";
});
moment.addEventListener("input", (event) => event.isTrusted && rest()); // somebody moved it

// Tabs

const tabs = [...document.querySelectorAll("[role=tab]")];

function open(tab) {
  stand();
  rest();
  for (const other of tabs) {
    other.setAttribute("aria-selected", other === tab);
    other.tabIndex = other === tab ? 0 : -1;
    find(other.getAttribute("aria-controls")).hidden = other !== tab;
  }
}

for (const tab of tabs) {
  find(tab.getAttribute("aria-controls")).setAttribute("role", "tabpanel");
  tab.addEventListener("click", () => open(tab));
  tab.addEventListener("keydown", ({ key }) => {
    if (key !== "ArrowLeft" && key !== "ArrowRight") return;
    const other = tabs.find((one) => one !== tab); // there are two
    open(other);
    other.focus();
  });
}
open(tabs[0]);
document.querySelector("[role=tablist]").hidden = false;
play.hidden = false;

try {
  model = await loading;
  if (model.conditional) offer();
  fresh.addEventListener("click", renew);
  grid.addEventListener("click", renew);
  walk.addEventListener("click", () => (walking ? stand() : go().catch(complain)));
  save.addEventListener("click", download);
  for (const button of [fresh, walk, save]) button.disabled = false;
  renew();
} catch (error) {
  complain(error);
}
