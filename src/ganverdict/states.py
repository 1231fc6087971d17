"""States that hold: what D and G may be in for long, where nothing changes any more.

A chart sees changes. Real declines are slow, and what is wrong from early on is soon the past that
it compares with; so states are judged by levels that follow from the family of the loss.
"""

import bisect
import math
from dataclasses import dataclass, field

from ganverdict.evidence import AtChance, Evidence, Running
from ganverdict.families import Family
from ganverdict.signals import HELD_OUT, LOSSES, SIGNALS, TABLE
from ganverdict.thresholds import Thresholds
from ganverdict.windows import Window

WORDS = {
    "at_chance": "D's loss was no lower than {chance:.3g}, the cost of answering all the same",
    "saturated": "D was sure of everything (D(x) over {real:g}, D(G(z)) under {fake:g})",
    "fooled": "D took everything for real ({evidence})",
    "vanished": "D's loss was close to 0, so that G learns nothing from it",
    "dead": "nothing moved: {signal} was the same to the last digit",
    "exploding": "{signal} grew to {times:.3g} times what it was",
    "memorising": "D knew its training images by heart ({evidence})",
}
"""Every state, and what it says of a run."""

_SHARE = 0.1  # of windows may be in a state by accident


@dataclass
class State:
    """A state that the run was in.

    Attributes:
        since, raised: the steps at which it began, and was certain.
        until, released: those at which it was over, and that was certain; None: never.
        windows: how many there have been since it began.
        early: whether it was certain within the burn-in.
    """

    name: str
    words: str
    since: float
    raised: float
    until: float | None = None
    released: float | None = None
    windows: int = 0
    early: bool = False


@dataclass
class _Middle:
    """The median of |signal| over the first half of the windows so far."""

    values: list[float] = field(default_factory=list)
    half: list[float] = field(default_factory=list)  # in order

    def ratio(self, value: float) -> float:
        """How many times the middle `value` is; the windows so far, it included."""
        self.values.append(abs(value))
        if 2 * len(self.half) < len(self.values):
            bisect.insort(self.half, self.values[len(self.half)])
        middle = self.half[len(self.half) // 2]
        return min(abs(value) / middle, _MOST_TIMES) if middle > 0 else 0.0


class States:
    """Takes windows as they come.

    Attributes:
        holding: the states that hold.
        all: these and the past.
        at_chance: what speaks for that state.
        has_held_out: whether D's losses on training and on held-out images were given.
    """

    def __init__(self, params: Thresholds, burn_in: int) -> None:
        self.all: list[State] = []
        self.holding: dict[str, State] = {}
        self._params, self._burn_in = params, burn_in
        self.at_chance = AtChance(params.state_limit, params.chance_range)
        self._evidence: dict[str, Evidence | AtChance] = {
            name: Evidence(_SHARE, params.state_limit) for name in WORDS
        }
        self._evidence["at_chance"] = self.at_chance
        self.has_held_out = False
        self._held_out = Running(params.memorising_evaluations)
        self._told_by: dict[str, set[object]] = {name: set() for name in WORDS}
        self._middles = {
            name: _Middle() for name in ("d_loss", "g_loss", "d_grad_norm", "g_grad_norm")
        }
        self._before: dict[str, float] = {}  # the latest level of each loss
        self._count = 0
        self._weights: dict[str, float] = {}  # windows that this one counts for, by state
        self._decimals = 0  # the most that a loss of this log has had
        self._begun = False  # whether D's loss has been other than 0: before, it is not trained
        self._still_at: dict[str, float] = {}  # the latest values of losses that did not move
        self._first: dict[str, float] = {}  # each loss's level in its first window

    def add(self, window: Window, family: Family | None) -> list[State]:
        """Take the next window; return the states that it makes certain."""
        self._count += 1
        self._go_by(family, window)
        found = self._found(window, family)
        raised = []
        has_loss = math.isfinite(window.median("d_loss"))
        for name, evidence in self._evidence.items():
            if name not in found:
                if name in _BY_FAMILY and has_loss and evidence.holds:
                    # The family, known by now, has no such state.
                    evidence.forget(window.end)
                    self._settle(name, evidence, window.end, "")
                continue
            words = found[name]
            if isinstance(evidence, Evidence):
                evidence.add(words is not None, window.start, self._weights.get(name, 1))
            raised += self._settle(name, evidence, window.end, words or "")
            if evidence.holds:
                self.holding[name].windows = evidence.windows
        for name in LOSSES:
            if math.isfinite(level := window.median(name)):
                self._before[name] = level
        train, test = (window.median(name) for name in HELD_OUT)
        return raised + self.add_held_out(window.end, train, test, family)

    def _go_by(self, family: Family | None, window: Window) -> None:
        """Count the window as at chance or not by every level, and take the family's."""
        loss, (real, fake) = window.median("d_loss"), _answers(window, family)
        if math.isfinite(loss):
            self.at_chance.add(loss, window.start, real - fake > _APART)
        if family is not None and family.chance is not None:
            other = self.at_chance.go_by(family.chance)
            if other and self._told_by["at_chance"]:
                self._told_by["at_chance"].clear()
                self._release("at_chance", window.end, window.end)

    def add_held_out(
        self, step: float, train: float, test: float, family: Family | None
    ) -> list[State]:
        """Take D's losses on training and on held-out images, at `step`; NaN: not measured.

        Returns the state that they make certain. They are in the unit of the family's loss.
        """
        chance = family.chance if family else None
        self.has_held_out |= math.isfinite(test + train)
        if chance is None or not math.isfinite(test + train):
            return []
        gap, edge = test - train, chance - train
        self._held_out.add(gap > _LUCK * chance and gap > _BY_HEART * edge > 0, step)
        evidence = "on held-out ones more than a fifth of what it gains on these was lost"
        words = WORDS["memorising"].format(evidence=evidence)
        return self._settle("memorising", self._held_out, step, words)

    def _settle(
        self, name: str, evidence: Evidence | Running | AtChance, step: float, words: str
    ) -> list[State]:
        """Begin or end a state, which holds while any of its evidence does."""
        told_by = self._told_by[name]
        held = bool(told_by)
        (told_by.add if evidence.holds else told_by.discard)(evidence)
        if told_by and not held:
            early = 0 < self._count <= self._burn_in
            state = State(name, words, evidence.since, step, early=early)
            self.holding[name] = state
            self.all.append(state)
            return [state]
        if held and not told_by:
            self._release(name, evidence.until, step)
        return []

    def _release(self, name: str, until: float, step: float) -> None:
        """End a state that was over `until` a step, which is certain at `step`."""
        state = self.holding.pop(name)
        state.until, state.released = until, step

    def _found(self, window: Window, family: Family | None) -> dict[str, str | None]:
        """For each state that this window can tell: in words that it is so, or None."""
        params, found = self._params, dict[str, str | None]()
        d = window.median("d_loss")
        chance = family.chance if family else None
        if chance is not None and not math.isnan(d):
            found["at_chance"] = WORDS["at_chance"].format(chance=chance)
        real, fake = _answers(window, family)
        if not math.isnan(real + fake):
            limits = {"real": params.saturated_real, "fake": params.saturated_fake}
            sure = real > params.saturated_real and fake < params.saturated_fake
            fooled = min(real, fake) > params.saturated_real
            found["saturated"] = WORDS["saturated"].format(**limits) if sure else None
            words = WORDS["fooled"].format(evidence=f"D(x) and D(G(z)) over {limits['real']:g}")
            found["fooled"] = words if fooled else None
        if not math.isnan(d):
            self._by_losses(found, d, window.median("g_loss"), family)
        if any(math.isfinite(window.median(name)) for name in LOSSES):
            found["dead"] = self._dead(window, chance)
        found["exploding"] = self._exploding(window, family)
        sign = window.median("d_sign_real")
        if not math.isnan(sign):
            memorises = sign > params.memorising_sign
            evidence = f"r_t, the mean sign of its answers to them, over {params.memorising_sign:g}"
            words = WORDS["memorising"].format(evidence=evidence)
            found["memorising"] = words if memorises else None
        return found

    def _by_losses(
        self, found: dict[str, str | None], d: float, g: float, family: Family | None
    ) -> None:
        """Tell by both losses whether D has won or lost; G's may be NaN: not given."""
        chance = family.chance if family else None
        self._begun |= d != 0
        if family is None or family.name not in _NEVER_VANISHED:
            level = self._params.vanished_share * (chance or _unknown_chance(d, g))
            won = 0 <= d < level and (chance is not None or not g < _LOSES * d)
            untrained = not self._begun and not g > 1
            found["vanished"] = WORDS["vanished"] if won and not untrained else None
        if family is None or family.name in _PAID_BY_G:
            lost = d > (2 * chance if chance else _LOST) and _ZERO <= g < _NOTHING
            if lost or "fooled" not in found:
                words = WORDS["fooled"].format(evidence="its loss high, G's next to nothing")
                found["fooled"] = words if lost else None

    def _dead(self, window: Window, chance: float | None) -> str | None:
        self._weights["dead"] = 1
        d, g = window.median("d_loss"), window.median("g_loss")
        if abs(g) < _ZERO and d > 2 * (chance or math.log(2)):
            return "G's loss was 0 and D's high: D calls everything real"
        still = {
            name: window.median(name)
            for name in LOSSES
            if window.constant[SIGNALS.index(name)]
            and window.median(name) == self._before.get(name)
        }
        for name in LOSSES:
            of_two = window.rows > 1 and not window.constant[SIGNALS.index(name)]
            self._decimals = max(self._decimals, _decimals(window.median(name)) - of_two)
        both = len(still) == len(LOSSES) and d != 0
        # D's loss at exactly 0 is `vanished`. Few digits may be how the log was printed, perhaps of
        # running means: then both losses must stand still, and longer.
        many = self._decimals >= _MANY_DECIMALS
        certain = {
            name: value
            for name, value in still.items()
            if _digits(value) >= _MANY_DIGITS or (value == g == 0 != d) or (many and value != 0)
        }
        few = still if both and any(_digits(value) >= 2 for value in still.values()) else {}
        dead = certain or few
        self._weights["dead"] = 1 if certain else _OF_FEW_DIGITS
        if not dead:
            return None
        if len(dead.items() & self._still_at.items()) < (1 if certain else 2):
            # Other values: a bar that is written more often than its losses are new.
            self._evidence["dead"].forget(window.start)
        self._still_at = dead
        return WORDS["dead"].format(signal=TABLE[next(iter(dead))].words)

    def _exploding(self, window: Window, family: Family | None) -> str | None:
        worst: tuple[float, str] | None = None
        self._weights["exploding"] = 1
        critic = family is not None and family.name == "wasserstein"
        for name, middle in self._middles.items():
            value = window.median(name)
            if math.isnan(value):
                continue
            times = middle.ratio(value)
            factor = self._params.exploding_factor
            excused = self._count <= min(self._burn_in, _FEW_WINDOWS) and times < _BEYOND_ALL
            if critic and name in LOSSES:
                # G's has a free offset. The distance that a critic tells shrinks in a training that
                # works, unless it begins at nothing.
                factor = _WASSERSTEIN_FACTOR
                excused = self._count <= self._burn_in or name == "g_loss" or abs(value) < _FAR
            elif name in LOSSES:
                # What rises from nothing to where it began has not exploded.
                first = self._first.setdefault(name, abs(value))
                excused |= abs(value) < max(_LARGE, 2 * first)
            if not excused and times > factor:
                worst = max(worst or (0.0, ""), (times, name))
        if worst is None:
            return None
        over = worst[0] / self._params.exploding_factor  # a critic's may be less than 1
        self._weights["exploding"] = 1 + int(math.log10(max(over, 1)) / 2)
        return WORDS["exploding"].format(signal=TABLE[worst[1]].words, times=worst[0])


# The part of chance by which two means over 1,000 images each may differ where nothing does: a D
# near chance answers nearly the same to everything, so that such a mean is off by a fifth of this.
_LUCK = 0.01
# What D knows by heart: of chance less its loss on training images, what held-out ones do not
# share. By epoch 20 all of six trainings with 500 and 3,000 digits were over it for good, and
# none of 24 others ever was; 0.15 and 0.25 say the same (reports/held_out).
_BY_HEART = 0.2
_BY_FAMILY = ("at_chance", "vanished", "fooled")  # by levels of D's loss
_MOST_TIMES = 1e300
# A critic's loss has no level; a relativistic D may be sure of every pair while G learns.
_NEVER_VANISHED = ("wasserstein", "relativistic")
_WASSERSTEIN_FACTOR = 3.0
_PAID_BY_G = ("bce_mean", "bce_sum", "lsgan_mean", "lsgan_sum")  # G's loss is 0 where it fools D
_LOSES = 10  # times D's loss: what G's is at least where D has won
_REGRESSION = 0.02
_APART = 0.1  # at chance the medians of D's answers were within 0.07 (14 trainings)
_LOST = 4 * math.log(2)
_NOTHING = 0.05
_ZERO = 1e-6  # a loss of G that is exactly 0 is `dead`
_FEW_WINDOWS = 12  # of a past to compare with
_BEYOND_ALL = 1e6  # times: no beginning
_LARGE = 10.0  # a loss of less has not exploded
_FAR = 50.0  # no distance between images that a critic tells, but for the first steps
_MANY_DIGITS = 5
_MANY_DECIMALS = 4
_OF_FEW_DIGITS = math.log(1.5) / math.log(5.5)  # as if half of all windows, not a tenth, were so


def _answers(window: Window, family: Family | None) -> tuple[float, float]:
    """D's answers to real and to generated images, in [0, 1]; logits of a cross-entropy are, too.

    NaN: not told.
    """
    real, fake = window.median("d_real"), window.median("d_fake")
    if math.isnan(real + fake) and family is not None and family.name in ("bce_mean", "bce_sum"):
        real, fake = (_sigmoid(window.median(f"d_score_{side}")) for side in ("real", "fake"))
    return real, fake


def _unknown_chance(d: float, g: float) -> float:
    """The level of D's loss at chance where the family is not known: the lowest that may be.

    Of cross-entropies G pays at least -log of what D pays for its images (Jensen). Least squares
    have the lowest level, whatever G's loss holds beside them. D's alone may be a regression's.
    """
    if math.isnan(g):
        return _REGRESSION
    return math.log(2) if d > 0 and g > max(1.0, -math.log(d)) else 0.25


def _sigmoid(logit: float) -> float:
    return 0.5 + 0.5 * math.tanh(logit / 2)


def _decimals(value: float) -> int:
    """How many digits a log gives after the point; 0 for what is no number."""
    return len(f"{value:.15f}".rstrip("0").partition(".")[2]) if math.isfinite(value) else 0


def _digits(value: float) -> int:
    """How many significant digits a log gives of a value."""
    return len(f"{abs(value):.15g}".partition("e")[0].replace(".", "").strip("0"))
