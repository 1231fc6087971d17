"""What a column's name means, whoever chose it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from ganverdict.metrics import INCEPTION_SCORE
from ganverdict.naming import name_words, word_set
from ganverdict.signals import SIGNALS

_D = word_set(
    "d dis disc discr discri discrim discriminator discriminators critic netd dnet disnet adversary"
)
_G = word_set("g gen gener generator generators netg gnet gennet")
_AS_CRITIC = {
    "c": "critic",
    "dsc": "critic",
    "closs": "critic loss",
    "lossc": "critic loss",
}
_LOSS = word_set("loss losses err error cost l")
_KIND = "hinge"  # of loss: says that it is one, and that it may be only a part of the whole
# Words that leave a loss what it is, the more of them the less it is the plain one.
_PLAIN = word_set(
    "train training trn avg average mean total overall sum running epoch step batch iter value",
    "scalar scalars log gan adv adversarial model net network main current cur item smooth",
    "smoothed metrics stats summary raw all logger data per hinge",
)
_SPLIT = word_set("split subset phase stage mode context")
HELD_OUT = word_set("val valid validation test eval evaluation dev heldout")
# Parts of a loss, or other things beside it: never the loss itself.
_PARTS = HELD_OUT | word_set(
    "gp r1 r2 path pl plr reg regularization penalty grad gradient norm lr rate time acc accuracy",
    "real fake aux cls class classification clf cycle cyc idt id ident identity l1 l2 pix pixel",
    "perceptual percep vgg feat feature features fm info kl rec recon reconstruction mse mae tv",
    "ssim lpips style content mi q cr dlr dr std var min max weight weights params",
    "lambda scale steps count num ratio updates sec it beta alpha ada p augment aug memory mem",
    "best lowest prev last delta diff target scores score logits logit sign signs prob output",
    "gz z pred predictions out",
)
_PENALTY = word_set("gp r1 r2 pl plr reg regularization penalty")
_OUTPUT = "x"  # D(x), where nothing says that it is a loss; else a domain: `d_X_loss`, `d_Y_loss`
_ADVERSARIAL = word_set("a adv adversarial")
_TIME = word_set(
    "time timestamp runtime elapsed eta wall walltime date datetime lr learning_rate seconds sec",
    "secs duration relative created gpu gpus mem seed cpu",
)

_STEP_NAMES: dict[str, tuple[str, int]] = {}
for _kind, _names in {
    "iteration": (
        "global_step globalstep step steps iteration iterations iter iters it itr itrs niter"
        " n_iter num_iter total_iters total_iter total_iteration total_steps cur_iter curr_iter"
        " current_iteration current_step current_iter iternum iter_num iteration_number"
        " train_step training_step trainer_global_step n_step cur_step step_num updates"
        " num_updates gen_iterations g_step d_step gstep batches_done n_batches train_iter i"
    ),
    "epoch": (
        "epoch epochs ep epo epoch_num epoch_number num_epoch cur_epoch current_epoch n_epoch"
        " train_epoch epoch_idx epoch_id trainer_epoch epoch_no"
    ),
    "batch": (
        "batch batch_idx batch_id batch_num batches batch_no batch_number step_in_epoch"
        " iter_in_epoch batch_index batch_i"
    ),
    "kimg": "kimg kimgs cur_kimg network_snapshot snapshot_kimg",
    "image": "image nimg cur_nimg nimgs images images_seen imgs n_images num_images img",
}.items():
    for _rank, _name in enumerate(_names.split()):
        _STEP_NAMES[_name] = (_kind, _rank)

# Columns of which checkpoint a row is, and words beside these that leave them so.
_CHECKPOINT = word_set("model models checkpoint checkpoints ckpt ckpts snapshot snapshots pkl")
_OF_CHECKPOINT = word_set("network id index idx no nr num number name file filename path")

_MEASURE = re.compile(
    r"(?:^|_)(?:[a-z]?fids?|[a-z]?kids?|fd|fvd|fad|fcd|cmmd|frechet|inception|precision|recall|density"
    r"|coverage|ppl|lpips|swd|fdd|fd_dino\w*|fid\d+\w*|kid\d+\w*|is\d+\w*|pr\d+\w*|ppl\w*|prdc"
    r"|eqt\d+\w*|eqr\d+\w*|psnr|ms_ssim|ssim|jsd|mmd|nna|class_kl|min_share|fjd|sfid\w*|cfid"
    r"|vfid|ifid|ndb|fd\d+\w*|f_?beta\w*|f_8|f_1_8|emd|wasserstein_distance|fid_\w+)(?:_|$)"
)
_DEVIATION = re.compile(r"_(?:std|sigma|stddev)$")
_EVALUATION_NAMES = {
    "fd_sigma": "fd_sigma",
    "fd_std": "fd_sigma",
    "class_kl": "class_kl",
    "coverage": "coverage",
    "min_share": "min_share",
    "precision": "precision",
    "improved_precision": "precision",
    "recall": "recall",
    "improved_recall": "recall",
    "is": "is",
    "is_score": "is",
    "inception_score": "is",
    "inception": "is",
}


@dataclass(frozen=True)
class Role:
    """What a name means.

    - `kind`: "step", "signal", "half" (D's loss on real or on generated images), "measure",
      "time" (and other things that are never asked for) or "unknown".
    - `name`: the kind of step, our name of the signal, or "" where the name stays.
    - `label`: of which pair of D and G.
    - `rank`: among names of the same meaning the lowest is the plain one.
    - `weak`: no word says that it is a loss (`D`, `G_A`), or a step (a column without a name).
    """

    kind: str
    name: str = ""
    label: str = ""
    rank: int = 0
    weak: bool = False


_UNKNOWN = Role("unknown")
_EXACT_SIGNALS = {
    "dx": "d_real",
    "d_x": "d_real",
    "d_real": "d_real",
    "d_out_real": "d_real",
    "d_real_prob": "d_real",
    "d_real_mean": "d_real",
    "real_prob": "d_real",
    "prob_real": "d_real",
    "p_real": "d_real",
    "d_prob_real": "d_real",
    "d_real_output": "d_real",
    "d_on_real": "d_real",
    "d_x_real": "d_real",
    "d_g_z": "d_fake",
    "dgz": "d_fake",
    "d_gz": "d_fake",
    "d_g_z1": "d_fake",
    "d_g_z_1": "d_fake",
    "d_gz1": "d_fake",
    "dgz1": "d_fake",
    "d_fake": "d_fake",
    "d_out_fake": "d_fake",
    "d_fake_prob": "d_fake",
    "d_fake_mean": "d_fake",
    "fake_prob": "d_fake",
    "prob_fake": "d_fake",
    "p_fake": "d_fake",
    "d_prob_fake": "d_fake",
    "d_fake_output": "d_fake",
    "d_on_fake": "d_fake",
    "d_x_fake": "d_fake",
}
# How a well-known book prints D's losses on real and on generated images.
_HALVES = {
    **dict.fromkeys(("d1", "c1", "dr"), "d_real"),
    **dict.fromkeys(("d2", "c2", "df"), "d_fake"),
}
_GRADIENT = re.compile(r"(?:^|_)(?:grad|gradient|gradients|gnorm)(?:_|$)")


@lru_cache(maxsize=8192)
def role(name: str) -> Role:
    """What a name means by itself; see `Role`."""
    if name in SIGNALS:
        return Role("signal", name)
    if name.endswith("/of"):  # of how many steps another column counts
        return _UNKNOWN
    parts = name_words(name)
    joined = "_".join(parts)
    if not parts or re.fullmatch(r"unnamed_\d+(_level_\d+)?|index|row|rownames", joined):
        return Role("step", "iteration", rank=1000, weak=True)
    if name in ("_step", "#step"):
        return Role("step", "iteration", rank=500)
    if (plain := "_".join(p for p in parts if p not in ("train", "training"))) in SIGNALS:
        return Role("signal", plain, rank=len(joined) - len(plain))
    if joined in _HALVES:
        return Role("half", _HALVES[joined], rank=1, weak=True)
    return (
        _step(parts)
        or _time(parts)
        or _scores(parts, joined)
        or _measure(joined)
        or _loss(parts)
        or _UNKNOWN
    )


def _step(parts: tuple[str, ...]) -> Role | None:
    rest = parts
    while True:
        known = _STEP_NAMES.get("_".join(rest))
        if known:
            return Role("step", known[0], rank=known[1] + 100 * (len(parts) - len(rest)))
        if len(rest) > 1 and rest[0] in ("train", "training", "trainer", "progress", "current"):
            rest = rest[1:]
        elif len(rest) == 2 and rest[1].removesuffix("s") == rest[0]:  # `Epoch/Epochs`
            rest = rest[:1]
        elif len(rest) > 1 and rest[-1] in ("train", "training", "number", "no", "num", "idx"):
            rest = rest[:-1]
        else:
            return None


def _time(parts: tuple[str, ...]) -> Role | None:
    given = set(parts)
    if given & _TIME and not given & _LOSS:
        return Role("time")
    return None


def _scores(parts: tuple[str, ...], joined: str) -> Role | None:
    """D's outputs, and norms."""
    plain = "_".join(p for p in parts if p not in ("train", "training", "avg", "mean", "metrics"))
    plain = plain or joined
    extra = len(joined) - len(plain)
    if plain in _EXACT_SIGNALS:
        return Role("signal", _EXACT_SIGNALS[plain], rank=extra)
    if plain in ("d_loss_real", "loss_d_real"):
        return None
    given = set(parts)
    if joined in ("loss_signs_real", "signs_real"):
        return Role("signal", "d_sign_real")
    side = "real" if "real" in given else "fake" if given & {"fake", "gen", "generated"} else ""
    if side and given & {"score", "scores", "logit", "logits", "out", "output", "outputs"}:
        if not given & {"loss", "acc", "accuracy", "fid", "std", "val", "g"}:
            return Role("signal", f"d_score_{side}", rank=len(parts))
        if given >= {"loss", "scores"}:
            return Role("signal", f"d_score_{side}", rank=len(parts))
    if "norm" in given and _GRADIENT.search(joined):
        rank = len(parts) + 5 * bool(given & _PENALTY)
        if given & _D and not given & _G:
            return Role("signal", "d_grad_norm", rank=rank)
        if given & _G and not given & _D:
            return Role("signal", "g_grad_norm", rank=rank)
    return None


def _measure(joined: str) -> Role | None:
    if _MEASURE.search(joined) or INCEPTION_SCORE.fullmatch(re.sub(_DEVIATION, "", joined)):
        plain = re.sub(r"^(?:eval|evaluation|metrics?)_", "", joined)
        return Role("measure", _EVALUATION_NAMES.get(plain, ""))
    return None


def _loss(parts: tuple[str, ...]) -> Role | None:
    """The loss of D or G, by its words in any order."""
    parts = tuple(_SHORT.get(part, part) for part in _split_joined(parts))
    side = _side(parts)
    if side is None:
        return None
    own = _D if side == "d" else _G
    rest = [p for p in parts if p not in own and p not in _LOSS]
    weak = not set(parts) & (_LOSS | {_KIND})
    if side == "d" and not weak and (half := _half(rest)):
        return half
    if side == "g":
        # G's loss on its own images is its adversarial loss.
        rest = ["adv" if p == "fake" else p for p in rest]
    label = [p for p in rest if p not in _PLAIN]
    if set(rest) & _PARTS:
        return None
    if weak and (_OUTPUT in rest or not _may_be_weak(parts, label)):
        return None
    rank = sum(_COST.get(p, 2) for p in rest if p in _PLAIN)
    # `G_gen_loss` is a part of what `G_loss` is.
    rank += 5 * (sum(p in own for p in parts) - 1)
    return Role("signal", f"{side}_loss", "_".join(label), rank, weak)


def _side(parts: tuple[str, ...]) -> str | None:
    """Whose loss it is; where both are named (`generator/d_loss`) the one beside "loss"."""
    in_d, in_g = not _D.isdisjoint(parts), not _G.isdisjoint(parts)
    if in_d != in_g:
        return "d" if in_d else "g"
    beside = [p for pair in pairwise(parts) if not _LOSS.isdisjoint(pair) for p in pair]
    sides = {"d" if p in _D else "g" for p in beside if p in _D | _G}
    return sides.pop() if len(sides) == 1 else None


def _half(rest: list[str]) -> Role | None:
    """D's loss on real or on generated images alone: `D_loss_real`, `l_d_fake`."""
    for which in ("real", "fake"):
        if rest and which in (rest[0], rest[-1]):
            others = [p for p in rest if p != which and p not in _PLAIN]
            if len(others) <= 1 and not set(others) & _PARTS:
                return Role("half", f"d_{which}", label="_".join(others), rank=len(rest))
    return None


_COST = {"total": 1, "overall": 1, "all": 1, "epoch": 3, "gan": 4, "adv": 4, "adversarial": 4}
_COST[_KIND] = 4


_SHORT = {"rl": "real", "fk": "fake"}
_JOINED_LABEL = re.compile(r"[dg][abxy]")


def is_adversarial(name: str) -> bool:
    """Whether a name is of a loss for fooling D, which is G's where no other is called G's."""
    parts = name_words(name)
    rest = {p for p in parts if p not in ("train", "training")} - _LOSS
    return len(rest) == 1 and rest <= _ADVERSARIAL and not _LOSS.isdisjoint(parts)


def _may_be_weak(parts: tuple[str, ...], label: list[str]) -> bool:
    """`D`, `G`, `D_A`, `G_GAN`: no word for loss, but nothing else to be."""
    return len(parts) <= 3 and len(label) <= 1 and all(len(p) <= 2 for p in label)


def _split_joined(parts: tuple[str, ...]) -> tuple[str, ...]:
    """`dloss`, `lossd`, `errg`, `closs`, and `loss_DA`: two words written as one."""
    split: list[str] = []
    is_loss = not _LOSS.isdisjoint(parts)
    for part in parts:
        if (is_loss and _JOINED_LABEL.fullmatch(part)) or parts in (("ld",), ("lg",)):
            split += part
            continue
        for word in ("losses", "loss", "err", "cost"):
            if part != word and part.startswith(word) and part[len(word) :] in _D | _G:
                split += [word, part[len(word) :]]
                break
            if part != word and part.endswith(word) and part[: -len(word)] in _D | _G:
                split += [part[: -len(word)], word]
                break
        else:
            split.append(part)
    return tuple(split)


def whole_pairs(of_d: Sequence[str], of_g: Sequence[str]) -> list[tuple[str, str]]:
    """Several names of D's loss and as many of G's, as the pairs that they are; [] where they are
    none, or one.

    The names of a pair agree in the words but for D's or G's own, of which the longer goes with the
    longer: `d_loss` and `g_loss`, `discriminator_loss` and `generator_loss`.
    """
    forms = [sorted((_form_of_loss(name), name) for name in names) for names in (of_d, of_g)]
    if len(of_d) < 2 or any(len({form for form, _ in one}) < len(of_d) for one in forms):
        return []
    pairs = [*zip(*forms, strict=False)]
    if len(of_d) != len(of_g) or any(d[0] != g[0] for (d, _), (g, _) in pairs):
        return []
    return [(d, g) for (_, d), (_, g) in pairs]


def _form_of_loss(name: str) -> tuple[tuple[str, ...], int]:
    """The words of a name of a loss but for D's or G's own, and the length of that."""
    parts = _split_joined(name_words(name))
    rest = tuple(p for p in parts if p not in _D | _G)
    return rest, sum(map(len, parts)) - sum(map(len, rest))


def critic_name(name: str) -> str:
    """The name of a critic's loss for what may be one beside G's loss: `C loss`; "" if it may not.

    Short words that mean something else more often, as `dsc` does an overlap of segments.
    """
    parts = [word for part in name_words(name) for word in _AS_CRITIC.get(part, part).split()]
    as_critic = " ".join(parts)
    meaning = role(as_critic)
    unlike = as_critic == " ".join(name_words(name)) or not _G.isdisjoint(parts) or meaning.weak
    return as_critic if not unlike and meaning.name in ("d_loss", "d_real", "d_fake") else ""


@lru_cache(maxsize=8192)
def checkpoint_unit(name: str) -> str | None:
    """What counts the checkpoints of such a column, "" where its name does not say it: `model`,
    `ckpt_step`, `snapshot_pkl`; None for every other column."""
    parts = name_words(name)
    rest = [part for part in parts if part not in _CHECKPOINT]
    if len(rest) == len(parts):
        return None
    rest = [part for part in rest if part not in _OF_CHECKPOINT]
    meaning = role(" ".join(rest))
    return "" if not rest else meaning.name if meaning.kind == "step" else None


def is_split(name: str) -> bool:
    """Whether a column says of which data a row is: `phase`, `split`, `runContext`."""
    return not _SPLIT.isdisjoint(name_words(name))


def is_held_out(value: str) -> bool:
    """Whether a row with this in such a column is of held-out data."""
    return not HELD_OUT.isdisjoint(name_words(value[:100].removesuffix("ate")))
