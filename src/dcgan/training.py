"""Training: one iteration of the original, and the loop that repeats it.

`fit` is a generator. It yields a Report at every epoch's end and every `sample_every` iterations;
whoever iterates it logs, saves and stops. The state is complete whenever a report is out.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dcgan import processes
from dcgan.averaging import average_into
from dcgan.batches import Batch, RealBatches, draw_noise
from dcgan.losses import discriminator_loss, generator_loss, gradient_penalty
from dcgan.networks import Discriminator, Generator, initialise, one_hot
from dcgan.optimisers import Adam, RMSprop
from dcgan.params import RuntimeParams, TrainParams
from dcgan.runtime import autocast, derive_seed, random_generator
from dcgan.sampling import fixed_noise, generate, to_bytes

SIGNALS = (
    "d_loss",
    "g_loss",
    "d_real",  # mean D(x), a probability
    "d_fake",  # mean D(G(z)), in the discriminator's update
    "d_grad_norm",
    "g_grad_norm",
    "d_update_ratio",  # norm of the step over norm of the weights
    "g_update_ratio",
)


class GanState:
    """All that changes while training: both networks, the average, both optimisers, the step."""

    def __init__(self, params: TrainParams, device: torch.device) -> None:
        with torch.random.fork_rng():  # new layers are first filled from the global generator
            self.generator = Generator(
                params.width, params.latent_dim, params.g_dropout, params.conditional
            )
            self.discriminator = Discriminator(params.width, params.d_dropout, params.conditional)
        rng = random_generator("cpu", params.seed, "weights")
        initialise(self.generator, rng)
        initialise(self.discriminator, rng)
        self.generator.to(device)
        self.discriminator.to(device)
        self.averaged: Generator | None = None
        if params.average_images:
            self.averaged = copy.deepcopy(self.generator).requires_grad_(False)
        d_weights, g_weights = self.d_weights, self.g_weights
        self.d_optimizer = _optimizer(params, d_weights)
        # The script's adversarial model moves both networks, the blog post's the generator alone.
        frozen = params.freeze_discriminator
        self.g_optimizer = _optimizer(params, g_weights if frozen else g_weights + d_weights)
        self.step = 0

    @property
    def g_weights(self) -> list[nn.Parameter]:
        """The generator's trainable weights."""
        return list(self.generator.parameters())

    @property
    def d_weights(self) -> list[nn.Parameter]:
        """The discriminator's trainable weights."""
        return list(self.discriminator.parameters())

    @property
    def sampler(self) -> Generator:
        """The generator that counts: the averaged one where there is one."""
        return self.generator if self.averaged is None else self.averaged

    def state_dict(self) -> dict[str, object]:
        """Everything a resumed run needs: tensors, numbers and plain containers."""
        modules = ("generator", "discriminator", "averaged", "d_optimizer", "g_optimizer")
        present = {name: getattr(self, name) for name in modules if getattr(self, name) is not None}
        return {"step": self.step, **{name: part.state_dict() for name, part in present.items()}}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Restore what `state_dict` gave, bit for bit."""
        for name, value in state.items():
            if name == "step":
                self.step = int(str(value))
            else:
                getattr(self, name).load_state_dict(value)


@dataclass(frozen=True)
class Report:
    """What happened since the report before.

    Attributes:
        step: iterations done, counted from 1.
        epoch: epochs done when this report ends one, else None.
        first_step: the step of the first row of `signals`.
        signals: float32 [steps, len(SIGNALS)], on the CPU.
        failed_step: the first step with a signal that is not finite, else None. The last report.
        failed_signal: the name of that signal, else "".
        grid: uint8 [64, 28, 28], images from the fixed noise.
    """

    step: int
    epoch: int | None
    first_step: int
    signals: Tensor
    failed_step: int | None
    failed_signal: str
    grid: Tensor


def fit(
    state: GanState,
    train_images: Tensor,
    params: TrainParams,
    runtime: RuntimeParams,
    before_step: Callable[[int], bool] = lambda _: True,
    train_labels: Tensor | None = None,
) -> Iterator[Report]:
    """Train `state` in place up to `params.epochs`, from whatever step it is at.

    Every random draw depends on (seed, step) alone, so a run continued from the state at a report
    is bit for bit the run that was never interrupted. Several processes (`dcgan.processes`) share
    out every batch and train as one would, but for the order of sums; all get the same reports.

    Args:
        train_images: uint8 [N, 28, 28], on the state's device.
        before_step: called with the number of steps done before each one; False ends the loop,
            and what was done since the last report is lost.
        train_labels: uint8 [N], beside the images; a conditional training needs them.
    """
    device = train_images.device
    batches = RealBatches(train_images, params, train_labels)
    noise = fixed_noise(params.seed, params.latent_dim, device)
    rng = torch.Generator(device)
    while state.step < params.epochs * params.steps_per_epoch:
        first_step, last_step = state.step + 1, _next_report(state.step, params)
        # Signals stay on the device until the report: reading each one would make a GPU wait.
        signals = torch.zeros(last_step - state.step, len(SIGNALS), device=device)
        for row in signals:
            if not before_step(state.step):
                return
            rng.manual_seed(derive_seed(params.seed, "step", state.step))
            with autocast(runtime, device):
                row.copy_(iteration(state, batches, params, rng))
        processes.average_([signals])  # losses and answers are means over a process's own rows
        failed_row, failed_signal = _first_failure(signals)
        at_epoch_end = last_step % params.steps_per_epoch == 0
        yield Report(
            step=last_step,
            epoch=last_step // params.steps_per_epoch if at_epoch_end else None,
            first_step=first_step,
            signals=signals.cpu(),
            failed_step=None if failed_row is None else first_step + failed_row,
            failed_signal=failed_signal,
            grid=to_bytes(generate(state.sampler, noise)).squeeze(1).cpu(),
        )
        if failed_row is not None:
            return


def iteration(
    state: GanState,
    batches: Callable[[int, torch.Generator], Batch],
    params: TrainParams,
    rng: torch.Generator,
) -> Tensor:
    """One update of the discriminator, then one of the generator. Returns the signals [8].

    `batches` gives the real images of a step, as `RealBatches` does.
    """
    real = batches(state.step, rng)
    fake = _draw(state.generator.train(), real, params, rng) if params.fakes == "shared" else None
    d_loss, d_real, d_fake, d_grad_norm, d_ratio = discriminator_step(
        state, real, params, rng, fake
    )
    g_loss, g_grad_norm, g_ratio = generator_step(state, real, params, rng, fake)
    state.step += 1
    if state.averaged is not None:
        # Half of the average is younger than `average_images`; a plain mean until then.
        weight = 1 - 0.5 ** (params.batch_size / params.average_images)
        average_into(state.averaged, state.generator, max(weight, 1 / state.step))
    return torch.stack([d_loss, g_loss, d_real, d_fake, d_grad_norm, g_grad_norm, d_ratio, g_ratio])


def discriminator_step(
    state: GanState,
    real: Batch,
    params: TrainParams,
    rng: torch.Generator,
    fake: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Move the discriminator towards 1 on `real` images and 0 on as many fakes.

    `fake` is the batch that both steps share. None: D gets its own, from the generator in inference
    mode, as in the original, or in training mode.
    Returns the loss, mean D(x), mean D(G(z)), the gradient norm and the update ratio.
    """
    discriminator = state.discriminator.train()
    if fake is None:
        generator = state.generator.train(params.fakes == "training")
        with torch.no_grad():
            fake = _draw(generator, real, params, rng)
    both = torch.cat([real.images, fake.detach()])
    digits = None if real.digits is None else real.digits.repeat(2)
    real_logits, fake_logits = discriminator(both, digits, rng, parts=2).float().chunk(2)
    loss = discriminator_loss(params.loss, real_logits, fake_logits)
    objective = loss
    if params.r1_gamma and state.step % params.r1_every == 0:
        # A lazy penalty counts for all the steps that skip it (Karras et al. 1912.04958).
        images = real.images.detach().requires_grad_()
        penalty = gradient_penalty(discriminator(images, real.digits, rng).float(), images)
        objective = loss + params.r1_gamma / 2 * params.r1_every * penalty
    lr = keras_decayed(params.lr_d, params.decay_d, state.step)
    weights = state.d_weights
    grad_norm, ratio = _update(state.d_optimizer, objective, weights, weights, lr)
    mean_real, mean_fake = real_logits.sigmoid().mean(), fake_logits.sigmoid().mean()
    return loss.detach(), mean_real.detach(), mean_fake.detach(), grad_norm, ratio


def generator_step(
    state: GanState,
    real: Batch,
    params: TrainParams,
    rng: torch.Generator,
    fake: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Move the generator so that the discriminator takes its images for real.

    With `freeze_discriminator` false the same step moves the discriminator too, towards the same
    label: the script's joint update. Both networks are in training mode. `real` is the other half
    of a relativistic pair, unused by `bce`; `fake`, with the generator's graph, is the batch that
    both steps share, None for one of its own.
    Returns the loss, the generator's gradient norm and its update ratio.
    """
    generator, discriminator = state.generator.train(), state.discriminator.train()
    if fake is None:
        fake = _draw(generator, real, params, rng)
    fake_logits = discriminator(fake, real.digits, rng).float()
    real_logits = None
    if params.loss == "relativistic":
        real_logits = discriminator(real.images, real.digits, rng).float()
    loss = generator_loss(params.loss, real_logits, fake_logits)
    lr = keras_decayed(params.lr_g, params.decay_g, state.step)
    # The optimiser of a run that was joint once holds D's weights, also where they stay by now.
    weights = state.g_weights
    moving = weights if params.freeze_discriminator else weights + state.d_weights
    return loss.detach(), *_update(state.g_optimizer, loss, moving, weights, lr)


def _draw(generator: Generator, real: Batch, params: TrainParams, rng: torch.Generator) -> Tensor:
    """As many images of fresh noise as `real` has, and of its digits where it tells them."""
    count = len(real.images) * processes.size()
    noise = processes.own(draw_noise(count, params.latent_dim, rng))
    digits = None if real.digits is None else one_hot(real.digits)
    images: Tensor = generator(noise, digits, rng)
    return images.float()


def keras_decayed(lr: float, decay: float, steps_done: int) -> float:
    """Keras's `decay`, a rate that falls with time: lr / (1 + decay t). Not weight decay."""
    return lr / (1 + decay * steps_done)


def _update(
    optimizer: torch.optim.Optimizer,
    loss: Tensor,
    moving: list[nn.Parameter],
    measured: list[nn.Parameter],
    lr: float,
) -> tuple[Tensor, Tensor]:
    """One optimiser step of `moving` down `loss`; gradient norm and update ratio of `measured`.

    Gradients are computed for the weights that move and nothing else, so a frozen network costs no
    weight gradients and keeps none.
    """
    (group,) = optimizer.param_groups
    group["lr"] = lr
    for weight, gradient in zip(moving, torch.autograd.grad(loss, moving), strict=True):
        # The fused Adam pairs values by their places in memory, so both must be laid out alike.
        alike = gradient.stride() == weight.stride()
        weight.grad = gradient if alike else torch.empty_like(weight).copy_(gradient)
    processes.average_([weight.grad for weight in moving if weight.grad is not None])
    gradients = [weight.grad for weight in measured if weight.grad is not None]
    moved = [weight.detach().clone() for weight in measured]
    norm = _norm(moved)
    optimizer.step()
    torch._foreach_sub_(moved, [weight.detach() for weight in measured])
    optimizer.zero_grad()
    return _norm(gradients), _norm(moved) / norm


def _norm(tensors: list[Tensor]) -> Tensor:
    """The Euclidean norm of all values together, a scalar."""
    return torch.stack(torch._foreach_norm(tensors)).square().sum().sqrt()


def _optimizer(params: TrainParams, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
    if params.optimizer == "adam":
        return Adam(weights, betas=(params.beta1, params.beta2), fused=True)
    return RMSprop(weights, alpha=0.9, eps=1e-7)  # Keras's constants


def _next_report(step: int, params: TrainParams) -> int:
    """The step of the next epoch's end or of the next sample picture, whichever is first."""
    intervals = [params.steps_per_epoch] + [params.sample_every] * bool(params.sample_every)
    return min(interval * (step // interval + 1) for interval in intervals)


def _first_failure(signals: Tensor) -> tuple[int | None, str]:
    """Row and name of the first signal that is not finite, or (None, "")."""
    bad = ~torch.isfinite(signals).cpu()
    if not bad.any():
        return None, ""
    row = int(bad.any(1).int().argmax())
    return row, SIGNALS[int(bad[row].int().argmax())]
