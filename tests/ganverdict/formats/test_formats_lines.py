"""Prints of trainers that nobody told the reader about: what each line is taken for."""

from pathlib import Path

import pytest

from ganverdict.formats import read

# Lines with {e} for the epoch from 0, {b} for the batch of 5, {s} for the step, {d} and {g} for
# the losses; and the step of the last line, of epoch 3 and batch 4.
LINES = [
    ("Epoch {e}/4... Discriminator Loss: {d}... Generator Loss: {g}", None),
    ("[{e}/4][{b}] Loss_D: {d} 0.044071 Loss_G: {g} 0.969284 loss_cyc 0.634544 278.52", 19),
    ("[epoch: {e}/4][iteration: {b}/5][rank: 0] Loss_D: {d}, Loss_G: {g}, time: 0.4708s", 19),
    ("1551it [05:28,  4.74it/s][{e}/4][{b}/5] Loss_D: {d} Loss_G: {g}", 19),
    ("[Metrics] Image #{s} Epoch #{e}.5:  ratio: 0.9, d_loss: {d}*0.0, g_loss: {g}*0.0", 19),
    ("Step    {s} | Discriminator Loss: {d} | Generator Loss: {g}", 19),
    ("    Step {s}: Generator loss: {g}, critic loss: {d}", 19),
    ("INFO:root:Generator loss: {g}, Discriminator loss: {d}", None),
    ("Epoch:{e}, step:{s}, D_loss:{d}, G_loss:{g}", 19),
    ("Iter: {s}; D: {d}; G:{g}", 19),
    ("I0304 12:00:01.123456 140 train.py:55] step {s}: d_loss = {d}, g_loss = {g}", 19),
    ("INFO:tensorflow:global_step = {s}, loss_d = {d}, loss_g = {g} (12.3 sec)", 19),
    ("2024-01-01 12:00:00.123 | INFO  | __main__:train:55 - Step {s} | D: {d} | G: {g}", 19),
    ("step {s}/50000: errD {d} (real 0.2, fake 0.3), errG {g}", 19),
    ("({s}) D loss: {d}, G loss: {g}", 19),
    ("iter: {s} Wasserstein: 3.4 critic: {d} generator: {g}", 19),
    ("{s} d_loss {d} g_loss {g}", 19),
    ("Epoch {e} batch {b}/5 [D loss: {d}, acc: 50%] [G loss: {g}]", 19),
    (" * iteration {s}: average loss D = {d}, average loss G = {g}", 19),
    ("generator loss at step {s} is {g} discriminator loss is {d}", 19),
    (">{e}, {b}/5, d={d}, g={g}", 19),
    ("Discriminator: loss = {d}, acc = 0.9; Generator: loss = {g}; step {s}", 19),
    ("[{s}] [D] loss: {d} [G] loss: {g}", 19),
    ("step {s} D loss: tensor({d}, device='cuda:0', grad_fn=<Mean>) G loss: tensor({g})", 19),
    ("{{'iter': {s}, 'disc_loss': {d}, 'gen_loss': {g}, 'lr': 2e-4}}", 19),
    ("step={s} | loss/d={d} | loss/g={g} | lr=1.2e-4 | sec=12", 19),
    ("[2021-03-04 12:00:01,123] Epoch: {e} | Iter: {s} | Dloss {d} | Gloss {g}", 19),
    ("Loss_D {d} (0.6123) Loss_G {g} (0.61) Iteration {s}", 19),
    (
        (
            "[0803 11:00:{b}0 @base.py:285] Epoch 1 (global_step {s}) finished\n"
            "[0803 11:00:{b}0 @monitor.py:467] d_loss: {d}\n"
            "[0803 11:00:{b}0 @monitor.py:467] g_loss: {g}"
        ),
        19,
    ),
    ("[0304 12:00:01 train:55] step {s}: d_loss = {d}, g_loss = {g}", 19),
    ("TRAIN:\tgenerator_loss:  {g}  discriminator_loss:  {d} step {s}", 19),
]


@pytest.mark.parametrize(("line", "last"), LINES)
def test_a_line_is_taken_for_what_it_says(line: str, last: float | None, tmp_path: Path) -> None:
    rows, d, g = [], [], []
    for step in range(20):
        d.append(round(1 + step / 100, 2))
        g.append(round(0.5 + step / 50, 2))
        values = {"e": step // 5, "b": step % 5, "s": step, "d": d[-1], "g": g[-1]}
        rows.append(line.format(**values))
        if step % 7 == 0:
            rows.append(f"saved samples to out/{step}.png, 3.2 s")
    path = tmp_path / "out"
    path.write_text("\n".join(rows) + "\n")

    (log,) = read([path])

    assert log.pairs[""]["d_loss"].tolist() == d
    assert log.pairs[""]["g_loss"].tolist() == g
    assert last is None or log.pairs[""]["step"][-1] == last


@pytest.mark.parametrize(
    "line",
    [
        "FID at step {s}: {f}",
        "FID after {s} iterations: {f}",
        "[Eval] step: {s} FID50k: {f}",
        "Evaluation at step {s}: fid={f}, kid=0.01",
        "FID score (Step: {s}, Using test moments): {f}",
        "step {s} - FID score: {f} (best: 40.1)",
        "step {s} took 4m 12s fid50k_full {f}",
        "{{'results': {{'fid50k_full': {f}}}, 'step': {s}}}",
    ],
)
def test_an_evaluation_is_taken_for_what_it_says(line: str, tmp_path: Path) -> None:
    rows = []
    for step in range(0, 100, 10):
        rows.append(f"step {step}: D loss 0.5, G loss 1.5")
        if step % 20 == 0:
            rows.append(line.format(s=step + 5, f=100 - step + 0.5))
    path = tmp_path / "out"
    path.write_text("\n".join(rows) + "\n")

    (log,) = read([path])

    assert log.metric is not None
    assert log.evaluations["step"].tolist() == [5, 25, 45, 65, 85]
    assert log.evaluations[log.metric].tolist() == [100.5, 80.5, 60.5, 40.5, 20.5]


def test_losses_of_validation_are_not_those_of_training(tmp_path: Path) -> None:
    rows = []
    for epoch in range(5):
        rows += [
            f"Epoch {epoch}",
            f"\tTRAIN:\tgenerator_loss: 1.{epoch} discriminator_loss: 2.{epoch}",
            "\tVAL:\tgenerator_loss: 9 discriminator_loss: 9",
        ]
    path = tmp_path / "out"
    path.write_text("\n".join(rows))
    (log,) = read([path])
    assert log.pairs[""]["g_loss"].tolist() == [1.0, 1.1, 1.2, 1.3, 1.4]
    assert log.pairs[""]["d_loss"].tolist() == [2.0, 2.1, 2.2, 2.3, 2.4]
