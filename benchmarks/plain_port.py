"""The original in PyTorch the way a tutorial writes it: what the engine is measured against.

Library layers and defaults throughout; nothing is merged, skipped or laid out by hand. The recipe
is that of `dcgan.training` with a frozen discriminator: same layers, losses, optimisers, rates and
averaged weights; tests/benchmarks/test_plain_port.py trains both from equal weights to equal
losses.
"""

import copy

import torch
from torch import Tensor, nn

from dcgan.params import TrainParams


def plain_generator(width: int, latent_dim: int, dropout: float) -> nn.Sequential:
    """Noise [B, latent_dim] -> images [B, 1, 28, 28] in [0, 1]."""
    return nn.Sequential(
        nn.Linear(latent_dim, 7 * 7 * 4 * width),
        nn.BatchNorm1d(7 * 7 * 4 * width, eps=1e-3),
        nn.ReLU(),
        nn.Unflatten(1, (4 * width, 7, 7)),
        nn.Dropout(dropout),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(4 * width, 2 * width, 5, padding=2),
        nn.BatchNorm2d(2 * width, eps=1e-3),
        nn.ReLU(),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(2 * width, width, 5, padding=2),
        nn.BatchNorm2d(width, eps=1e-3),
        nn.ReLU(),
        nn.Conv2d(width, width // 2, 5, padding=2),
        nn.BatchNorm2d(width // 2, eps=1e-3),
        nn.ReLU(),
        nn.Conv2d(width // 2, 1, 5, padding=2),
        nn.Sigmoid(),
    )


def plain_discriminator(width: int, dropout: float) -> nn.Sequential:
    """Images [B, 1, 28, 28] -> probability of real [B, 1]."""
    return nn.Sequential(
        nn.ZeroPad2d((1, 2, 1, 2)),  # Keras's 'same' for an even size and stride 2
        nn.Conv2d(1, width, 5, stride=2),
        nn.LeakyReLU(0.2),
        nn.Dropout(dropout),
        nn.ZeroPad2d((1, 2, 1, 2)),
        nn.Conv2d(width, 2 * width, 5, stride=2),
        nn.LeakyReLU(0.2),
        nn.Dropout(dropout),
        nn.Conv2d(2 * width, 4 * width, 5, stride=2, padding=2),
        nn.LeakyReLU(0.2),
        nn.Dropout(dropout),
        nn.Conv2d(4 * width, 8 * width, 5, padding=2),
        nn.LeakyReLU(0.2),
        nn.Dropout(dropout),
        nn.Flatten(),
        nn.Linear(4 * 4 * 8 * width, 1),
        nn.Sigmoid(),
    )


class PlainPort:
    """Both networks, their optimisers and the number of iterations done."""

    def __init__(self, params: TrainParams, device: str = "cpu") -> None:
        assert params.loss == "bce"
        assert params.freeze_discriminator
        assert params.fakes in ("shared", "inference")
        assert not params.r1_gamma
        self.params, self.step, self.device = params, 0, device
        self.generator = plain_generator(params.width, params.latent_dim, params.g_dropout)
        self.discriminator = plain_discriminator(params.width, params.d_dropout)
        self.generator.to(device)
        self.discriminator.to(device)
        self.averaged = copy.deepcopy(self.generator) if params.average_images else None
        self.d_optimizer = self._optimizer(self.discriminator, params.lr_d)
        self.g_optimizer = self._optimizer(self.generator, params.lr_g)
        self.loss = nn.BCELoss()

    def iteration(self, images: Tensor) -> tuple[float, float]:
        """One iteration on random ones of `images`, uint8 [N, 28, 28]. Returns both losses."""
        size, latent_dim = self.params.batch_size, self.params.latent_dim
        real = (
            images[torch.randint(len(images), (size,), device=images.device)].unsqueeze(1).float()
            / 255
        )
        noise = torch.rand(2, size, latent_dim, device=self.device) * 2 - 1
        return self.train_on(real.to(self.device), noise[0], noise[1])

    def train_on(self, real: Tensor, d_noise: Tensor, g_noise: Tensor) -> tuple[float, float]:
        """The discriminator's update, then the generator's; shared fakes are of `g_noise`."""
        ones = torch.ones(len(real), 1, device=self.device)
        self.discriminator.train()
        if self.params.fakes == "shared":
            self.generator.train()
            fake = self.generator(g_noise)
        else:
            self.generator.eval()
            with torch.no_grad():
                fake = self.generator(d_noise)
        answers = self.discriminator(torch.cat([real, fake.detach()]))
        d_loss = self.loss(answers, torch.cat([ones, torch.zeros_like(ones)]))
        self.d_optimizer.zero_grad()
        d_loss.backward()
        self.d_optimizer.step()

        if self.params.fakes != "shared":
            self.generator.train()
            fake = self.generator(g_noise)
        g_loss = self.loss(self.discriminator(fake), ones)
        self.g_optimizer.zero_grad()
        g_loss.backward()
        self.g_optimizer.step()

        self.step += 1
        self._decay(self.d_optimizer, self.params.lr_d, self.params.decay_d)
        self._decay(self.g_optimizer, self.params.lr_g, self.params.decay_g)
        self._average()
        return d_loss.item(), g_loss.item()

    def _optimizer(self, network: nn.Module, lr: float) -> torch.optim.Optimizer:
        params = self.params
        if params.optimizer == "adam":
            betas = (params.beta1, params.beta2)
            return torch.optim.Adam(network.parameters(), lr=lr, betas=betas)
        return torch.optim.RMSprop(network.parameters(), lr=lr, alpha=0.9, eps=1e-7)

    def _decay(self, optimizer: torch.optim.Optimizer, lr: float, decay: float) -> None:
        for group in optimizer.param_groups:
            group["lr"] = lr / (1 + decay * self.step)

    @torch.no_grad()
    def _average(self) -> None:
        if self.averaged is None:
            return
        weight = 1 - 0.5 ** (self.params.batch_size / self.params.average_images)
        weight = max(weight, 1 / self.step)
        now = self.generator.state_dict()
        for name, value in self.averaged.state_dict().items():
            if value.is_floating_point():
                value.lerp_(now[name], weight)
