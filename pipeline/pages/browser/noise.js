// Noise, kept as normal numbers. A walk turns between two of them, as pipeline/generate.py does:
// a straight line would pass near zero, where noise hardly ever is.

export function normals(count) { // Box and Muller
  return Float64Array.from({ length: count }, () =>
    Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random()));
}

// A quarter of a circle from one to the other, by shares from 0 to 1: each step is normal again.
export function between(from, to, share) {
  const [near, far] = [Math.cos, Math.sin].map((part) => part((share * Math.PI) / 2));
  return from.map((value, index) => near * value + far * to[index]);
}

// What the generator takes: 2 Phi(x) - 1 = erf(x / sqrt 2) is distributed as U(-1, 1).
export const uniform = (values) => Float32Array.from(values, (value) => erf(value * Math.SQRT1_2));

// Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: within 1.5e-7.
function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const sum = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 +
    t * 1.061405429))));
  return Math.sign(x) * (1 - sum * Math.exp(-x * x));
}
