"""What other people's trainers print, by the habit that once led to a wrong column, step or row."""

import json
from pathlib import Path

import numpy as np
import pytest

from ganverdict.formats import read
from ganverdict.formats.errors import ReadError
from ganverdict.formats.prints import PrintReader
from ganverdict.log import Log

D, G = [1.353, 1.25, 0.913, 1.1, 0.975, 1.2], [1.074, 0.815, 1.681, 0.9, 1.2, 1.4]
ROWS = list(zip(D, G, strict=True))


def log(tmp_path: Path, text: str, name: str = "log.txt") -> Log:
    (tmp_path / name).write_text(text)
    (found,) = read([tmp_path / name])
    return found


def check(
    found: Log, steps: list[float], unit: str, d: list[float] = D, g: list[float] = G
) -> None:
    (pair,) = found.pairs.values()
    assert found.unit == unit
    assert pair["step"].tolist() == steps
    assert pair["d_loss"].tolist() == d
    assert pair["g_loss"].tolist() == g


EVERY_BATCH = [
    f"[Epoch {row // 3}/2] [Batch {row % 3}/3] [D loss: {d}] [G loss: {g}]"
    for row, (d, g) in enumerate(ROWS)
]
STEPS = [0.0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "bars",
    [
        {0: "  0%|          | 0/200 [00:00<?, ?it/s]"},
        {3: "validate: 100%|█████| 99/99 [00:33<00:00]"},
    ],
)
def test_a_bar_that_stands_still_is_no_clock(bars: dict[int, str], tmp_path: Path) -> None:
    lines = [
        line for i, row in enumerate(EVERY_BATCH) for line in (*bars.get(i, "").splitlines(), row)
    ]
    check(log(tmp_path, "\n".join(lines) + "\n"), STEPS, "iteration")


def test_an_iteration_that_is_always_the_same_is_no_clock(tmp_path: Path) -> None:
    lines = [f"epoch: {row + 1}, iters: 100, D: {d} G: {g}" for row, (d, g) in enumerate(ROWS)]
    check(log(tmp_path, "\n".join(lines)), [1.0, 2, 3, 4, 5, 6], "epoch")


def test_a_batch_that_is_always_the_last_ends_its_epoch(tmp_path: Path) -> None:
    lines = [f"[{row + 1}/6][738] Loss_D: {d} Loss_G: {g}" for row, (d, g) in enumerate(ROWS)]
    found = log(tmp_path, "\n".join(lines))
    check(found, [738.0 * (row + 1) for row in range(6)], "iteration")
    assert found.steps_per_epoch == 738


def test_a_step_that_is_named_once_is_not_the_steps(tmp_path: Path) -> None:
    lines = ["INFO: Starting training from global step 0..."]
    many = [*ROWS, *ROWS]
    for row, (d, g) in enumerate(many):
        lines += [f"INFO: [Global Step: {500 * (row + 1)}/100000]", f"| errD: {d}", f"| errG: {g}"]
    check(
        log(tmp_path, "\n".join(lines)),
        [500.0 * (r + 1) for r in range(12)],
        "iteration",
        D * 2,
        G * 2,
    )


def test_a_plainer_name_that_is_said_once_is_not_the_steps_either(tmp_path: Path) -> None:
    rows = [
        f"iter {500 * row}\nd_loss: {d} g_loss: {g}" for row, (d, g) in enumerate([*ROWS, *ROWS])
    ]
    found = log(tmp_path, "\n".join(["from global step 0", *rows]))
    check(found, [500.0 * row for row in range(12)], "iteration", D * 2, G * 2)


def test_an_epoch_printed_behind_its_rows_is_not_theirs(tmp_path: Path) -> None:
    lines = [
        line
        for row, (d, g) in enumerate(ROWS, 1)
        for line in (
            f"Train Epoch: {row} [9%]",
            f"loss_disc={d}, loss_gen={g}",
            f"====> Epoch: {row}",
        )
    ]
    check(log(tmp_path, "\n".join(lines)), [1.0, 2, 3, 4, 5, 6], "epoch")


def test_means_of_an_epoch_do_not_replace_its_last_iteration(tmp_path: Path) -> None:
    lines = [
        *EVERY_BATCH[:3],
        "D loss: 9.9 G loss: 9.9",
        *EVERY_BATCH[3:],
        "D loss: 8.8 G loss: 8.8",
    ]
    check(log(tmp_path, "\n".join(lines)), STEPS, "iteration")


def test_rows_that_share_a_step_are_told(tmp_path: Path) -> None:
    lines = [f"step {row // 2} d_loss: {d} g_loss: {g}" for row, (d, g) in enumerate(ROWS)]
    found = log(tmp_path, "\n".join(lines))
    check(found, [0.0, 1, 2], "iteration", D[1::2], G[1::2])
    assert any("3 of 6 rows have the step of the next" in note for note in found.notes)


def test_an_index_beside_an_epoch_counts_nothing(tmp_path: Path) -> None:
    lines = [",epoch,d_loss,g_loss", *(f"{r},{r + 1},{d},{g}" for r, (d, g) in enumerate(ROWS))]
    check(log(tmp_path, "\n".join(lines), "log.csv"), [1.0, 2, 3, 4, 5, 6], "epoch")


def test_a_tab_at_the_end_of_every_line_is_no_index(tmp_path: Path) -> None:
    lines = ["D Loss\tG Loss\t", *(f" {d}\t {g}\t" for d, g in ROWS)]
    check(log(tmp_path, "\n".join(lines) + "\n"), [1.0, 2, 3, 4, 5, 6], "row")


def test_losses_of_three_columns_without_a_header_are_no_steps(tmp_path: Path) -> None:
    rows = zip([0.9, 0.7, 0.8, 0.6, 0.75, 0.5], range(6), range(10, 16), strict=True)
    found = log(tmp_path, "\n".join(f"{d} 0.5{a} {b}" for d, a, b in rows), "d_loss.txt")
    assert found.pairs[""]["step"].tolist() == [1, 2, 3, 4, 5, 6]
    assert found.pairs[""]["d_loss"].tolist() == [0.9, 0.7, 0.8, 0.6, 0.75, 0.5]


def test_losses_without_a_header_are_no_steps(tmp_path: Path) -> None:
    lines = [f"{d} 0.5{row}" for row, d in enumerate([0.9, 0.7, 0.8, 0.6, 0.75, 0.5])]
    found = log(tmp_path, "\n".join(lines), "d_loss.txt")
    assert found.pairs[""]["step"].tolist() == [1, 2, 3, 4, 5, 6]
    assert found.pairs[""]["d_loss"].tolist() == [0.9, 0.7, 0.8, 0.6, 0.75, 0.5]


@pytest.mark.parametrize(
    "line",
    [
        "Batch {row}/170 discriminator loss | generator loss : {d} | {g} - took 2.1 s.",
        "step {row}: D/G loss: {d}/{g}",
        "Step {row}:  {d} [d_loss]   {g} [g_loss]",
        "{row} [D loss] {d} [G loss] {g}",
        "Epoch/Epochs: 0/1 | Iter: {row}/5000 | D Loss: {d} | G Loss: {g}",
        "iter {row}\ttrain disc cost\t{d}\ttrain gen cost\t{g}\tdev disc cost\t7.5",
        "mi-test\tINFO\tstep={row} loss_disc={d}, loss_gen={g}, loss_mel=19.9",
        "G_step [{row}/1000], D_step[{row}/1000], d_loss: {d}, g_loss: {g}",
        "[E:0][T:{row}][{row}/202599] errD(real): {d} | errD(fake): 0.0 | errG: {g} [Trn(D):0.0%]",
        "iter {row} loss(discri)={d} loss(gener)={g}",
        "step {row} G_loss: {g} G_gen_loss: 0.5 D_loss: {d}",
        "G_loss:{g}, D_loss:{d}step{row}",
    ],
)
def test_names_and_numbers_find_each_other(line: str, tmp_path: Path) -> None:
    text = "\n".join(line.format(row=row, d=d, g=g) for row, (d, g) in enumerate(ROWS))
    check(log(tmp_path, text), STEPS, "iteration")


@pytest.mark.parametrize(
    "names", [("d_X_loss", "d_Y_loss", "g_loss"), ("Loss_DX", "Loss_DY", "G_loss")]
)
def test_two_discriminators_are_two_pairs(names: tuple[str, ...], tmp_path: Path) -> None:
    rows = [f"{row},{d},{d + 1},{g}" for row, (d, g) in enumerate(ROWS)]
    found = log(tmp_path, "\n".join([",".join(("step", *names)), *rows]), "log.csv")
    one, other = found.pairs.values()
    assert one["d_loss"].tolist() == D
    np.testing.assert_allclose(other["d_loss"], np.array(D) + 1)
    assert one["g_loss"].tolist() == other["g_loss"].tolist() == G


FIDS = [200.5, 80.25, 60.0]
RECORDS: dict[str, dict[str, object]] = {
    "pairs": {"fid": [[2, 200.5], [4, 80.25], [6, 60.0]]},
    "records": {"fid": [{"epoch": e, "value": v} for e, v in zip((2, 4, 6), FIDS, strict=True)]},
    "parallel": {"fid_scores": FIDS, "fid_epochs": [2, 4, 6]},
}


@pytest.mark.parametrize("form", RECORDS)
def test_measures_with_steps_of_their_own_stand_beside_lists_of_losses(
    form: str, tmp_path: Path
) -> None:
    losses: dict[str, object] = {"D_losses": D, "G_losses": G}
    document = {"history": losses | RECORDS[form]}
    found = log(tmp_path, json.dumps(document), "history.json")
    check(found, [1.0, 2, 3, 4, 5, 6], "row")
    assert found.metric is not None
    assert found.evaluations[found.metric].tolist() == FIDS
    assert found.evaluations["step"].tolist() == [2, 4, 6]


def test_means_by_epoch_are_losses_and_no_steps(tmp_path: Path) -> None:
    """As Lightning calls them."""
    document = {"d_loss": D, "g_loss": G, "d_loss_epoch": [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]}
    check(log(tmp_path, json.dumps(document), "metrics.json"), [1.0, 2, 3, 4, 5, 6], "row")


def test_two_lists_of_steps_alone_are_no_measure(tmp_path: Path) -> None:
    document = {"D_losses": D, "G_losses": G, "x_epochs": [1, 2], "x_steps": [10, 20]}
    check(log(tmp_path, json.dumps(document), "metrics.json"), [1.0, 2, 3, 4, 5, 6], "row")


def test_a_dictionary_of_epochs_is_one_run(tmp_path: Path) -> None:
    document = {str(row): {"d_loss": d, "g_loss": g} for row, (d, g) in enumerate(ROWS)}
    check(log(tmp_path, json.dumps(document), "metrics.json"), STEPS, "iteration")


def test_bold_and_deviations_are_numbers(tmp_path: Path) -> None:
    rows = [f"| {row} | {d} | {g} | **{90 - row}.5** ± 0.3 |" for row, (d, g) in enumerate(ROWS)]
    text = "\n".join(["| Epoch | D Loss | G Loss | FID ↓ |", "|---|---|---|---|", *rows]) + "\n"
    found = log(tmp_path, text, "README.md")
    assert found.metric is not None
    assert found.evaluations[found.metric].tolist() == [90.5 - row for row in range(6)]


def test_a_log_without_a_loss_of_d_says_so(tmp_path: Path) -> None:
    found = log(tmp_path, "\n".join(f"step {row} g_loss: {g}" for row, g in enumerate(G)))
    assert any("no loss of D was found" in note for note in found.notes)


def test_what_a_kind_of_log_is_known_for_must_agree_with_its_numbers(tmp_path: Path) -> None:
    form = "Epoch: [ 0/25] [{row}/1000] time: 1.0, d_loss: {d:.4f}, g_loss: {g:.4f}"
    usual = "\n".join(form.format(row=row, d=d, g=g) for row, (d, g) in enumerate(ROWS))
    assert log(tmp_path, usual).loss == "bce_sum"
    critic = "\n".join(form.format(row=row, d=-d, g=g) for row, (d, g) in enumerate(ROWS))
    assert log(tmp_path, critic).loss is None


def test_outputs_within_0_and_1_are_probabilities(tmp_path: Path) -> None:
    form = "Epoch {row}, loss_g: 0.9, loss_d: 1.2, real_score: {real:.3f}, fake_score: {fake:.3f}"
    rows = [(0.5 + row / 50, 0.5 - row / 50) for row in range(20)]
    inside = "\n".join(form.format(row=r, real=a, fake=b) for r, (a, b) in enumerate(rows))
    assert {"d_real", "d_fake"} <= set(log(tmp_path, inside).pairs[""])
    outside = "\n".join(form.format(row=r, real=2 * a, fake=b) for r, (a, b) in enumerate(rows))
    assert {"d_score_real", "d_score_fake"} <= set(log(tmp_path, outside).pairs[""])


def test_logits_within_0_and_1_are_logits(tmp_path: Path) -> None:
    rows = [
        f"step {row} d_loss: 1.3 real_logits: 0.{row + 10} fake_logits: 0.1" for row in range(20)
    ]
    assert "d_score_real" in log(tmp_path, "\n".join(rows)).pairs[""]


def test_a_row_before_the_run_is_no_run(tmp_path: Path) -> None:
    rows = ["step,d_loss,g_loss", "100,1.0,1.0", *(f"{row},1.2,0.9" for row in range(1, 300))]
    found = log(tmp_path, "\n".join(rows), "log.csv")
    assert found.pairs[""]["step"].tolist() == list(range(1, 300))


def test_random_bytes_are_no_log(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for seed in range(60):
        path = tmp_path / f"{seed}.log"
        path.write_bytes(rng.bytes(3000))
        with pytest.raises(ReadError):
            read([path])


def test_a_log_with_zeros_of_a_crash_is_read(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_bytes("\n".join(EVERY_BATCH).encode() + b"\n" + bytes(20))
    check(read([tmp_path / "log.txt"])[0], STEPS, "iteration")


def test_a_link_in_a_circle_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "loop.log").symlink_to("loop.log")
    check(log(tmp_path, "\n".join(EVERY_BATCH)), STEPS, "iteration")
    check(read([tmp_path])[0], STEPS, "iteration")


@pytest.mark.parametrize(
    "line",
    [
        "FID (10000 samples): {fid}",
        "FID with 5000 samples: {fid}",
        "FID (10k samples): {fid}",
        "Inception Score over 10 splits: 7.25, FID with 50k images: {fid}",
        "FID[5000]: {fid}",
        "FID (50000): {fid}",
        "FID score of 10000 generated images is {fid}",
        "FID for epoch {epoch} (10000 samples): {fid}",
        "FID ({epoch} epochs): {fid}",
        "FID: {fid}, best FID: {best} (epoch {at})",
        "Epoch {epoch} FID: {fid} | best: {best} at epoch {at}",
        "[{epoch}] fid {fid} | best fid {best} | best epoch {at}",
        "FID: {fid}\nbest FID {best}",
        "FID: {fid}\nMin FID {best}",
        "FID: {fid}\nbest fid {best} @ {at}",
        "FID: {fid}\npatience: 3/10 (best FID {best})",
        "FID: {fid}\nSaved the best model (FID {best})",
        "FID: {fid}\nSaved the best model, FID: {best}",
        "best FID: {best}, epoch: {epoch}, FID: {fid}",
        "Current FID: {fid} | Previous FID: {best} | Best FID: {best}",
    ],
)
def test_a_measure_is_what_was_measured_here(line: str, tmp_path: Path) -> None:
    """Not the number of samples behind it, nor the best that was measured until now."""
    fids = [200.5, 80.25, 60.0, 60.5, 90.0, 120.0]
    lines = []
    for row, (d, g) in enumerate(ROWS):
        best = min(fids[: row + 1])
        at = fids.index(best) + 1
        lines += [
            f"epoch: {row + 1} D: {d} G: {g}",
            line.format(fid=fids[row], epoch=row + 1, best=best, at=at),
        ]
    found = log(tmp_path, "\n".join(lines))
    check(found, [1.0, 2, 3, 4, 5, 6], "epoch")
    assert found.metric is not None
    assert found.evaluations[found.metric].tolist() == fids
    assert found.evaluations["step"].tolist() == [1, 2, 3, 4, 5, 6]


def test_the_best_loss_of_g_is_not_its_loss(tmp_path: Path) -> None:
    lines = [
        text
        for row, (d, g) in enumerate(ROWS, 1)
        for text in (f"Epoch {row}: D loss: {d} G loss: {g}", "Best generator loss 0.4")
    ]
    check(log(tmp_path, "\n".join(lines)), [1.0, 2, 3, 4, 5, 6], "epoch")


def bars(before: str = "", speed: str = "33.{row}0it/s") -> list[str]:
    return [
        f"{before}{row // 3:3d}%|{'':6}| {row + 1}/600 [00:0{row}<00:09, "
        + speed.format(row=row)
        + f", d_loss={d}, g_loss={g}]"
        for row, (d, g) in enumerate(ROWS)
    ]


@pytest.mark.parametrize(
    ("description", "unit"),
    [
        ("Steps: ", "iteration"),
        ("iters: ", "iteration"),
        ("Epoch: ", "epoch"),
        ("Training: ", "iteration"),
        ("", "iteration"),
    ],
)
def test_a_bar_counts_what_its_description_says(
    description: str, unit: str, tmp_path: Path
) -> None:
    """Neither is its percentage a step, nor are its marks the edges of a table."""
    check(log(tmp_path, "\r".join(bars(description))), [1.0, 2, 3, 4, 5, 6], unit)


def test_a_bar_that_stands_at_nothing_first_is_no_table(tmp_path: Path) -> None:
    text = "\r".join(["  0%|      | 0/600 [00:00<?, ?it/s]", *bars()])
    check(log(tmp_path, text), [1.0, 2, 3, 4, 5, 6], "iteration")


def test_a_bar_that_is_called_like_a_measure_is_none(tmp_path: Path) -> None:
    lines = [
        line
        for row, (d, g) in enumerate(ROWS, 1)
        for line in (f"epoch: {row} D: {d} G: {g}", "fid:  37%|██     | 37/100", f"FID: {row}.5")
    ]
    found = log(tmp_path, "\n".join(lines))
    assert found.metric is not None
    assert found.evaluations[found.metric].tolist() == [1.5, 2.5, 3.5, 4.5, 5.5, 6.5]


def test_bars_of_any_speed_are_of_one_wording(tmp_path: Path) -> None:
    """A wording a line is learned each time, which takes a hundred times as long."""
    reader = PrintReader("log")
    for speed in ("3{row}.15it/s", "1.{row}s/it", "{row}.5k/2{row}.5k"):
        reader.take(1, bars(speed=speed))
    assert len(reader._by_pattern) == 3


@pytest.mark.parametrize("first", ["", "training starts\n"])
def test_two_numbers_in_brackets_are_epoch_and_batch(first: str, tmp_path: Path) -> None:
    lines = [
        f"[{row // 3 + 1}, {100 * (row % 3 + 1):5d}] D_loss: {d} G_loss: {g}"
        for row, (d, g) in enumerate(ROWS)
    ]
    check(log(tmp_path, first + "\n".join(lines)), [100.0, 200, 300, 400, 500, 600], "iteration")


@pytest.mark.parametrize(
    "line",
    [
        "{{'step': {row}, 'd_loss': Array({d}, dtype=float32), 'g_loss': Array({g}, dtype=f4)}}",
        "step = {row}, d_loss = {d}f0, g_loss = {g}f0",
    ],
)
def test_numbers_are_read_as_other_languages_print_them(line: str, tmp_path: Path) -> None:
    text = "\n".join(line.format(row=row, d=d, g=g) for row, (d, g) in enumerate(ROWS))
    check(log(tmp_path, text), STEPS, "iteration")


def test_small_numbers_of_julia_are_read(tmp_path: Path) -> None:
    lines = [
        f"step = {row}, d_loss = 6.{row}f-5, g_loss = {g}f0" for row, (_, g) in enumerate(ROWS)
    ]
    d = [6.0e-5, 6.1e-5, 6.2e-5, 6.3e-5, 6.4e-5, 6.5e-5]
    check(log(tmp_path, "\n".join(lines)), STEPS, "iteration", d)


def test_names_may_be_exchanged(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(
        "step,D,G\n" + "".join(f"{n},1.{n},2.{n}\n" for n in range(1, 9))
    )
    for rename in ({"d_loss": "G", "g_loss": "D"}, {"g_loss": "D", "d_loss": "G"}):
        (found,) = read([tmp_path / "log.csv"], rename=rename)
        assert found.pairs[""]["d_loss"].tolist() == [float(f"2.{n}") for n in range(1, 9)]
        assert found.pairs[""]["g_loss"].tolist() == [float(f"1.{n}") for n in range(1, 9)]


@pytest.mark.parametrize(
    "before", ["time: 0.59 s ", "time 12.5 sec ", "12ms/step ", "33.1 img/s ", "ada_p: No "]
)
def test_a_unit_or_a_word_for_a_value_belongs_to_no_name(before: str, tmp_path: Path) -> None:
    lines = [
        f"Epoch: 3 Step: {10 * row} {before}d_loss: {d}, g_loss: {g} -- mean_d_loss: 9.5"
        for row, (d, g) in enumerate(ROWS)
    ]
    check(log(tmp_path, "\n".join(lines)), [0.0, 10, 20, 30, 40, 50], "iteration")


def test_a_batch_that_goes_on_over_epochs_is_the_step(tmp_path: Path) -> None:
    lines = [
        f"[10:0{row}:00] [{row // 2}/9][{50 * row}] Loss_D: {d} Loss_G: {g}"
        for row, (d, g) in enumerate(ROWS)
    ]
    found = log(tmp_path, "\n".join(lines))
    check(found, [0.0, 50, 100, 150, 200, 250], "iteration")
    assert found.steps_per_epoch == 100


def test_numbers_of_lines_are_no_epochs(tmp_path: Path) -> None:
    lines = [
        f"  {41 + row}  [{row // 3}/2][{row % 3}/3] Loss_D: {d} Loss_G: {g}"
        for row, (d, g) in enumerate(ROWS)
    ]
    found = log(tmp_path, "\n".join(lines))
    check(found, STEPS, "iteration")
    assert found.steps_per_epoch == 3


def test_the_word_of_a_step_may_stand_behind_its_number(tmp_path: Path) -> None:
    lines = [
        f"[2018-11-22 16:53:21,014 INFO] {row // 3} epoch,  {row % 3}  batch, {name} Loss: {value}"
        for row, both in enumerate(ROWS)
        for name, value in zip(("Discriminator", "Generator"), both, strict=True)
    ]
    check(log(tmp_path, "\n".join(lines)), STEPS, "iteration")


def test_so_many_steps_after_which_it_is_told(tmp_path: Path) -> None:
    text = "".join(f"After {10 * r} steps, d_loss: {D[r]}, g_loss: {G[r]}\n" for r in range(6))
    check(log(tmp_path, text), [0.0, 10, 20, 30, 40, 50], "iteration")


def test_epo_is_an_epoch(tmp_path: Path) -> None:
    lines = [f"... Epo[ {2 + r // 3}][ {r % 3}/ 3][t2.6] d_l:{D[r]} g_l:{G[r]}" for r in range(6)]
    check(log(tmp_path, "\n".join(lines)), [6.0, 7, 8, 9, 10, 11], "iteration")


@pytest.mark.parametrize(
    "text",
    [
        "D_loss: nan, D_loss_grad_norm: nan, D_lr: 0.0018, G_loss: nan, seen: 15\n",
        (
            "D_loss: nan, D_loss_grad_norm: nan\nD_reg_grad_norm: nan, G_loss: nan\n"
            "  0%|          | 14/1000000 [00:51<634:57:52,  2.29s/it]\n"
        ),
    ],
)
def test_a_log_of_nothing_but_nan_is_read(text: str, tmp_path: Path) -> None:
    (pair,) = log(tmp_path, text).pairs.values()
    assert np.isnan([*pair["d_loss"], *pair["g_loss"]]).all()


def test_a_line_of_nan_alone_is_no_step(tmp_path: Path) -> None:
    text = "D loss: 1.2, G loss: 0.9\nD loss: nan, G loss: 7.5\nnan\n"
    (pair,) = log(tmp_path, text).pairs.values()
    assert pair["step"].tolist() == [1.0, 2]


@pytest.mark.parametrize("names", [("D", "A"), ("discriminator", "adversarial")])
def test_the_adversarial_loss_is_gs_where_no_other_is(
    names: tuple[str, str], tmp_path: Path
) -> None:
    lines = [
        f"{r}: [{names[0]} loss: {d}, acc: 0.5]  [{names[1]} loss: {g}, acc: 1.0]"
        for r, (d, g) in enumerate(ROWS)
    ]
    check(log(tmp_path, "\n".join(lines)), STEPS, "iteration")


def test_what_was_not_used_is_told_where_a_loss_is_missing(tmp_path: Path) -> None:
    text = "".join(f"step {r} aeloss: 0.5 disc_loss: {D[r]}\n" for r in range(6))
    notes = log(tmp_path, text).notes
    assert "no loss of G was found (not used: aeloss): name it with --map g_loss=NAME" in notes


def test_losses_on_real_and_on_generated_images_by_other_names(tmp_path: Path) -> None:
    text = "".join(
        f"{r}/999 (epoch 0), d_rl_loss = {D[r] - 0.5:.3f}, d_fk_loss = 0.5, g_adv_loss = {G[r]}\n"
        for r in range(6)
    )
    (pair,) = log(tmp_path, text).pairs.values()
    assert pair["d_loss"].tolist() == pytest.approx(D)
    assert pair["g_loss"].tolist() == G


@pytest.mark.parametrize(("level", "is_loss"), [(0.02, True), (0.8, False)])
def test_d_real_is_a_loss_where_no_d_answers_so(
    level: float, is_loss: bool, tmp_path: Path
) -> None:
    text = "".join(
        f"(Iter {r}) Batch {r}/99 d_real:{level + r / 1000:.3f}, d_fake:0.003, g_adv:0.99\n"
        for r in range(20)
    )
    (pair,) = log(tmp_path, text).pairs.values()
    assert ("d_loss" in pair, "d_real" in pair) == (is_loss, not is_loss)


@pytest.mark.parametrize("pasted", [("_", "\\_"), (" ", "\u00a0")])
def test_what_a_page_did_to_names_is_undone(pasted: tuple[str, str], tmp_path: Path) -> None:
    text = "".join(
        f"[{r // 3}/2][{r % 3}/3] Loss_D: {D[r]} Loss_G: {G[r]} D(x): 0.7 D(G(z)): 0.3 / 0.3\n"
        for r in range(6)
    )
    found = log(tmp_path, text.replace(*pasted))
    check(found, STEPS, "iteration")
    assert found.kind == "pytorch/examples DCGAN"


@pytest.mark.parametrize(("count", "loss"), [("/2", "bce_sum"), ("", None)])
def test_a_print_that_many_share_does_not_tell_the_loss(
    count: str, loss: str | None, tmp_path: Path
) -> None:
    lines = [
        f"Epoch: [{r // 3:2d}{count}] [{r % 3:4d}/   3] time: {r}.5, d_loss: {d}, g_loss: {g}"
        for r, (d, g) in enumerate(ROWS)
    ]
    found = log(tmp_path, "\n".join(lines))
    check(found, STEPS, "iteration")
    assert found.loss == loss


def test_an_epoch_is_the_one_that_starts_the_rows(tmp_path: Path) -> None:
    text = "".join(
        f"INFO:run:Train Epoch: {r + 2} [1%]\nINFO:run:[{200 * r}, 1e-4]\n"
        f"INFO:run:loss_disc={D[r]}, loss_gen={G[r]}, loss_fm=10.4\nINFO:run:====> Epoch: {r + 2}\n"
        for r in range(6)
    )
    check(log(tmp_path, f"INFO:run:====> Epoch: 1\n{text}"), [2.0, 3, 4, 5, 6, 7], "epoch")


@pytest.mark.parametrize("before", ["", "This is what I get after an hour:\n"])
def test_rows_whose_line_breaks_were_lost_are_rows(before: str, tmp_path: Path) -> None:
    rows = [
        f"[{r // 3}/2][{r % 3}/3] Loss_D: {D[r]} Loss_G: {G[r]} D(x): nan D(G(z)): 0.3 / 1e-05"
        for r in range(6)
    ]
    check(log(tmp_path, before + " ".join(rows)), STEPS, "iteration")


def test_steps_by_the_thousand_and_the_million(tmp_path: Path) -> None:
    text = "Step,D loss,G loss\n" + "".join(
        f"{at},{d},{g}\n"
        for at, (d, g) in zip(["400k", "600k", "0.8M", "1M", "1.2M", "1400K"], ROWS, strict=True)
    )
    check(log(tmp_path, text), [4e5, 6e5, 8e5, 1e6, 1.2e6, 1.4e6], "iteration")


def test_json_lines_that_a_terminal_broke_are_joined(tmp_path: Path) -> None:
    records = [json.dumps({"step": r, "d_loss": d, "g_loss": g}) for r, (d, g) in enumerate(ROWS)]
    text = "".join(f"{record[:24]}\n{record[24:]}\n" for record in records)
    check(log(tmp_path, text, "stats.jsonl"), STEPS, "iteration")


def test_a_line_of_blanks_without_end_is_read_at_once(tmp_path: Path) -> None:
    """A search that steps back for each blank would take hours."""
    text = "\n".join(f"epoch {row} d_loss: 0.{row + 50} g_loss: 0.9" for row in range(20))
    blanks = " " * 300_000
    assert len(log(tmp_path, f"{blanks}x\n{'a' * 300}{blanks}b\n{text}").pairs[""]["d_loss"]) == 20


KERAS_BARS = "".join(
    f"Epoch {r + 1}/6\n3/3 ━━━━━ 1s 9ms/step - d_loss: {d} - g_loss: {g}"
    f" - discriminator_loss: {d + 1} - generator_loss: {g + 1}\n"
    for r, (d, g) in enumerate(ROWS)
)
KERAS_CSV = "epoch,d_loss,discriminator_loss,g_loss,generator_loss\n" + "".join(
    f"{3 * (r + 1)},{d},{d + 1},{g},{g + 1}\n" for r, (d, g) in enumerate(ROWS)
)


@pytest.mark.parametrize(("text", "unit"), [(KERAS_BARS, "iteration"), (KERAS_CSV, "epoch")])
def test_of_two_pairs_of_names_for_the_same_losses_one_is_taken(
    text: str, unit: str, tmp_path: Path
) -> None:
    found = log(tmp_path, text)
    check(found, [3.0 * (row + 1) for row in range(6)], unit)
    assert (
        "d_loss and g_loss are taken, discriminator_loss and generator_loss are another pair:"
        " choose it with --map d_loss=discriminator_loss --map g_loss=generator_loss"
    ) in found.notes


def test_two_pairs_of_names_may_tell_the_same_of_one_loss(tmp_path: Path) -> None:
    rows = "".join(f"{r},0.0,0.0,{g},{g + 1}\n" for r, g in enumerate(G))
    text = KERAS_CSV.split("\n")[0] + "\n" + rows
    check(log(tmp_path, text), STEPS, "epoch", [0.0] * 6)


@pytest.mark.parametrize("other", ["generator_acc", "generator_error"])
def test_two_names_for_one_loss_are_to_be_chosen_from(other: str, tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="d_loss, discriminator_loss may each be d_loss"):
        log(tmp_path, KERAS_CSV.replace("generator_loss", other))


@pytest.mark.parametrize(
    "line",
    [
        "Epoch [{epoch}/2], Step [{batch}/3], Loss D: {d}, Loss G: {g}",
        "Epoch {epoch}/2, Batch {batch}/3, Loss G: {g},Loss D: {d}",
        "Epoch {epoch} [{batch}/3] Loss G: {g} Loss D: {d}",
    ],
)
def test_a_log_with_steps_within_epochs_does_not_count_epochs(line: str, tmp_path: Path) -> None:
    lines = [line.format(epoch=r // 3 + 1, batch=r % 3, d=d, g=g) for r, (d, g) in enumerate(ROWS)]
    found = log(tmp_path, "\n".join(lines))
    check(found, STEPS, "iteration")
    assert (found.kind, found.steps_per_epoch) == ("text", 3)


def test_what_a_kind_of_log_counts_is_only_told_of_its_iterations(tmp_path: Path) -> None:
    form = "(epoch: {row}, iters: 100) G_GAN: {g} G_L1: 9.0 D_real: {d} D_fake: {d}"
    lines = [form.format(row=row + 1, d=d, g=g) for row, (d, g) in enumerate(ROWS)]
    check(log(tmp_path, "\n".join(lines)), [1.0, 2, 3, 4, 5, 6], "epoch")


@pytest.mark.parametrize(
    ("name", "head", "row"),
    [
        ("log.csv", "epoch,iters,G_GAN,D_real,D_fake\n", "1,{step},{g},{d},0.5\n"),
        (
            "log.csv",
            "_step,_runtime,train/G_GAN,train/D_real,train/D_fake\n",
            "{step},9,{g},{d},.5\n",
        ),
        ("log.jsonl", "", '{{"step": {step}, "G_GAN": {g}, "D_real": {d}, "D_fake": 0.5}}\n'),
        ("log.txt", "", "Iters: {step}\nG_GAN: {g}\nG_VGG: 7.6\nD_real: {d}\nD_fake: 0.5\n"),
        ("log.jsonl", "", '{{"step": {step}, "GAN": {g}, "D_real": {d}, "D_Fake": 0.5}}\n'),
    ],
)
def test_d_real_beside_the_adversarial_loss_of_pix2pix_is_half_of_ds_loss(
    name: str, head: str, row: str, tmp_path: Path
) -> None:
    rows = [row.format(step=r, g=g, d=d) for r, (d, g) in enumerate(ROWS)]
    mean = "G_GAN" in head + row  # SPADE takes the sum
    d_loss = [(d + 0.5) / 2 if mean else d + 0.5 for d in D]
    check(log(tmp_path, head + "".join(rows), name), STEPS, "iteration", d_loss)


def test_d_real_is_an_answer_where_no_loss_is_called_as_in_pix2pix(tmp_path: Path) -> None:
    rows = "".join(f"{r},{g},0.7,0.3\n" for r, g in enumerate(G))
    pair = log(tmp_path, f"step,G_loss,D_real,D_fake\n{rows}", "log.csv").pairs[""]
    assert {"d_real", "d_fake"} <= pair.keys()


@pytest.mark.parametrize(
    "line",
    [
        "g_loss(mse:0.000, vgg:7.6, adv:{g}) d_loss: {d}",
        "g_loss (adv={g}, l1=9.3) adv: 7.6, d_loss (total={d}, real=0.1, fake=0.2) total: 7.6",
        "D (loss: {d}, acc: 0.5) G (loss: {g}) loss: 7.6",
        "Loss D: {d} (epoch: 3), Loss G: {g} (mse: 7.6, adv: 0.1)",
    ],
)
def test_a_bracket_behind_a_loss_names_its_parts(line: str, tmp_path: Path) -> None:
    rows = [f"step {r} time: 2.3s, {line.format(d=d, g=g)}" for r, (d, g) in enumerate(ROWS)]
    check(log(tmp_path, "\n".join(rows)), STEPS, "iteration")


def test_halves_in_a_bracket_are_of_the_loss_before_it(tmp_path: Path) -> None:
    rows = [
        f"step {r} D loss (real: 0.5, fake: {d - 0.5:.3f}), G loss (adv: {g})"
        for r, (d, g) in enumerate(ROWS)
    ]
    (pair,) = log(tmp_path, "\n".join(rows)).pairs.values()
    assert pair["d_loss"].tolist() == pytest.approx(D)
    assert pair["g_loss"].tolist() == G


@pytest.mark.parametrize(
    "line",
    ["`d_loss={d}, g_loss={g}`", "`D loss`: {d}, `G loss`: {g}", "d_loss: `{d}` g_loss: `{g}`"],
)
def test_marks_of_code_belong_to_no_name(line: str, tmp_path: Path) -> None:
    rows = [f"- step {r}: {line.format(d=d, g=g)}" for r, (d, g) in enumerate(ROWS)]
    found = log(tmp_path, "\n".join(rows))
    check(found, STEPS, "iteration")
    assert not any("`" in note for note in found.notes)


def test_a_column_whose_name_tells_nothing_is_named(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("step,critic,gen,quality,lr\n1,0.5,1,3,1e-4\n2,0.5,1,2,1e-4\n")
    (found,) = read([log])
    assert "not used: quality; name what measures samples with --metric" in found.notes
    (named,) = read([log], metric="Quality")
    assert named.metric == "quality"


def test_a_metric_is_named_whatever_its_capitals(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("step,FID,KID\n1,50,0.1\n2,40,0.2\n")
    assert read([log], metric="kid")[0].metric == "KID"
    with pytest.raises(ReadError, match="no measure 'step'; there are FID, KID"):
        read([log], metric="step")


def test_losses_that_nobody_can_tell_apart_are_named(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("step,loss,loss_1,fid\n1,0.5,1,50\n2,0.5,1,40\n")
    (found,) = read([log])
    assert any("whose losses loss, loss_1 are" in note for note in found.notes)


def test_a_value_in_a_file_whose_name_tells_nothing_keeps_its_name(tmp_path: Path) -> None:
    log = tmp_path / "evaluations.csv"
    log.write_text("step,value\n1,50\n2,40\n")
    with pytest.raises(ReadError, match=r"was found \(step, value\)"):
        read([log])
    assert read([log], rename={"fid": "value"})[0].metric is not None
    assert read([log], metric="value")[0].metric == "value"


@pytest.mark.parametrize(
    "best",
    ["**20.3** (best)", "20.3 ✅", "⭐ 20.3", "20.3 ← best", "**20.3 (best)**", "20.3 ↓", "20.3†"],
)
def test_a_cell_that_is_marked_in_a_table_keeps_its_row(best: str, tmp_path: Path) -> None:
    values = ["80", "60", "40", best, "30", "31"]
    rows = "".join(f"| {5 * n} | {value} |\n" for n, value in enumerate(values, 1))
    log = tmp_path / "notes.md"
    log.write_text("| epoch | FID |\n|---|---|\n" + rows)
    (found,) = read([log])
    assert found.evaluations["FID"].tolist() == [80, 60, 40, 20.3, 30, 31]
    assert found.evaluations["step"].tolist() == [5, 10, 15, 20, 25, 30]


def test_dashes_for_colons_in_a_list(tmp_path: Path) -> None:
    """As first-order-model prints."""
    log = tmp_path / "log.txt"
    log.write_text(
        "".join(
            f"{n:08d}) perceptual - {120 + n}.5; gen_gan - 0.{50 + n}; feature_matching - 2.5; "
            f"disc_gan - 0.{30 + n}\n"
            for n in range(8)
        )
    )
    (found,) = read([log])
    own = found.pairs[""]
    assert own["step"].tolist() == [*range(8)]
    assert own["d_loss"].tolist() == pytest.approx([0.30 + n / 100 for n in range(8)])
    assert own["g_loss"].tolist() == pytest.approx([0.50 + n / 100 for n in range(8)])
