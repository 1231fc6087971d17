"""How many multiplications an iteration needs, and how many bytes it must move, at the least.

Counted is the direct sum of every layer's exact definition, in its cheapest exact form:

- An upsampled image repeats its pixels, so the 5 taps of a kernel's row meet 3 different pixels:
  taps are added before they are multiplied (`dcgan.layers.UpsampleConv2d`).
- A tap that meets only padding multiplies zeros and is not counted. At D's last 4x4 maps that is
  half of all taps.
- D's own step does not need the gradient of its input images, nor G's step that of its noise; with
  `freeze_discriminator` G's step needs no gradients of D's weights. Fakes that both steps share are
  drawn once.

Not counted: elementwise work (normalisation, activations, dropout, losses, optimisers), whose
multiplications are under 1 %, and forms that trade multiplications for additions with other
rounding (Winograd, Fourier). A multiplication and its addition are two operations.
"""

from dataclasses import dataclass

from dcgan.params import TrainParams


@dataclass(frozen=True)
class Layer:
    """A linear layer of one image, and how often each weight of a channel pair is used.

    Attributes:
        uses: multiplications for each pair of an input and an output channel.
        taps: stored weights of each such pair.
        pixels_in, pixels_out: values of each channel.
    """

    name: str
    channels_in: int
    channels_out: int
    uses: int
    taps: int
    pixels_in: int
    pixels_out: int

    @property
    def multiplications(self) -> int:
        """Of one image, in any direction."""
        return self.channels_in * self.channels_out * self.uses

    @property
    def values_in(self) -> int:
        """Values that come in, of one image."""
        return self.channels_in * self.pixels_in

    @property
    def values_out(self) -> int:
        """Values that go out, of one image."""
        return self.channels_out * self.pixels_out

    @property
    def weights(self) -> int:
        """Stored weights."""
        return self.channels_in * self.channels_out * self.taps


def generator_layers(width: int, latent_dim: int) -> list[Layer]:
    return [
        Layer("project", latent_dim, 7 * 7 * 4 * width, 1, 1, 1, 1),
        _upsampled("up1", 4 * width, 2 * width, 7),
        _upsampled("up2", 2 * width, width, 14),
        _convolution("refine", width, width // 2, 28, 1, 2),
        _convolution("to_image", width // 2, 1, 28, 1, 2),
    ]


def discriminator_layers(width: int) -> list[Layer]:
    return [
        _convolution("conv1", 1, width, 28, 2, 1),
        _convolution("conv2", width, 2 * width, 14, 2, 1),
        _convolution("conv3", 2 * width, 4 * width, 7, 2, 2),
        _convolution("conv4", 4 * width, 8 * width, 4, 1, 2),
        Layer("score", 4 * 4 * 8 * width, 1, 1, 1, 1, 1),
    ]


def met_taps(size: int, stride: int, before: int) -> int:
    """Pairs of an output and one of its 5 taps that meet a pixel, along one side of `size` pixels.

    `before` pixels of padding come first; there are ceil(size / stride) outputs.
    """
    outputs = -(-size // stride)
    places = [stride * output - before + tap for output in range(outputs) for tap in range(5)]
    return sum(0 <= place < size for place in places)


@dataclass(frozen=True)
class Pass:
    """One layer computed once in one direction: forward, for its input, or for its weights."""

    layer: Layer
    direction: str
    images: int

    @property
    def multiplications(self) -> int:
        """The same in every direction: each product of a weight and a value comes up once."""
        return self.images * self.layer.multiplications

    @property
    def values_moved(self) -> int:
        """Values read or written once each, everything elementwise being done on the way."""
        layer = self.layer
        return self.images * (layer.values_in + layer.values_out) + layer.weights


def iteration_passes(params: TrainParams) -> list[Pass]:
    """All passes of one iteration. Raises ValueError for games with other passes."""
    if params.loss != "bce" or params.r1_gamma:
        raise ValueError("counted is plain cross-entropy without a gradient penalty")
    size = params.batch_size
    generator = generator_layers(params.width, params.latent_dim)
    discriminator = discriminator_layers(params.width)
    own_fakes = params.fakes != "shared"
    passes = [Pass(layer, "forward", size) for layer in generator if own_fakes]
    for direction in ("forward", "weights", "input"):
        passes += [Pass(layer, direction, 2 * size) for layer in discriminator]
    passes.remove(Pass(discriminator[0], "input", 2 * size))
    for direction in ("forward", "weights", "input"):
        passes += [Pass(layer, direction, size) for layer in generator]
        if direction != "weights" or not params.freeze_discriminator:
            passes += [Pass(layer, direction, size) for layer in discriminator]
    passes.remove(Pass(generator[0], "input", size))
    return passes


def iteration_operations(params: TrainParams) -> int:
    """Useful floating-point operations of one iteration, two for each multiplication."""
    return 2 * sum(one.multiplications for one in iteration_passes(params))


def iteration_bytes(params: TrainParams, bytes_per_value: int) -> int:
    """The least traffic of one iteration's passes, were nothing kept in a cache between them."""
    return bytes_per_value * sum(one.values_moved for one in iteration_passes(params))


def _upsampled(name: str, channels_in: int, channels_out: int, size: int) -> Layer:
    # Along a side, each of two output phases has 3 merged taps; one of them misses at one end.
    met = 2 * (3 * size - 2)
    return Layer(name, channels_in, channels_out, met**2, 25, size**2, (2 * size) ** 2)


def _convolution(
    name: str, channels_in: int, channels_out: int, size: int, stride: int, before: int
) -> Layer:
    outputs = -(-size // stride)
    uses = met_taps(size, stride, before) ** 2
    return Layer(name, channels_in, channels_out, uses, 25, size**2, outputs**2)
