"""Tables and headings that stand in a text, tables with a row for each value, trackers' JSON."""

import json
from pathlib import Path

import numpy as np
import pytest

from ganverdict.formats import ReadError, read
from ganverdict.log import Log
from tests.ganverdict.formats.test_other_habits import ROWS, STEPS, D, G, check, log

FORMS: dict[str, tuple[str, str]] = {
    "Comet": (
        "metricName,metricValue,timestamp,step,epoch,runContext",
        "{name},{value},167000000{step},{step},0,train",
    ),
    "Aim": (
        "run.hash,metric.name,metric.context,step,epoch,time,value",
        'abc123,{name},"{{""subset"": ""train""}}",{step},0,160000{step}.0,{value}',
    ),
    "MLflow": ("run_id,key,value,step,timestamp", "7,{name},{value},{step},16000000"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_table_may_have_a_row_for_each_value(form: str, tmp_path: Path) -> None:
    header, row = FORMS[form]
    rows = [row.format(name="d_loss", value=d, step=step) for step, d in enumerate(D)]
    rows += [row.format(name="g_loss", value=g, step=step) for step, g in enumerate(G)]
    check(log(tmp_path, "\n".join([header, *rows]) + "\n", "log.csv"), STEPS, "iteration")


@pytest.mark.parametrize("by_step", [False, True])
def test_rows_of_several_runs_in_such_a_table_are_told_apart(by_step: bool, tmp_path: Path) -> None:
    rows = [
        (name, run, step, value + more)
        for name, values in (("d_loss", D), ("g_loss", G))
        for run, more in (("a", 0), ("b", 8))
        for step, value in enumerate(values)
    ]
    rows = sorted(rows, key=lambda row: row[2]) if by_step else rows
    text = "\n".join(f"{run},{name},{step},{value}" for name, run, step, value in rows)
    (tmp_path / "log.csv").write_text("run,tag,step,value\n" + text)
    one, other = read([tmp_path / "log.csv"])
    check(one, STEPS, "iteration")
    check(other, STEPS, "iteration", [d + 8 for d in D], [g + 8 for g in G])


WALL = 1.6e9
DOCUMENTS: dict[str, object] = {
    "Comet": [
        {"metricName": name, "metricValue": str(value), "step": step, "timestamp": WALL}
        for name, values in (("d_loss", D), ("g_loss", G))
        for step, value in enumerate(values)
    ],
    "Sacred": {
        f"training.{name}": {"steps": [*range(6)], "timestamps": ["2020"] * 6, "values": values}
        for name, values in (("d_loss", D), ("g_loss", G))
    },
    "tensorboardX": {
        f"runs/a/data/{name}": [[WALL, step, value] for step, value in enumerate(values)]
        for name, values in (("d_loss", D), ("g_loss", G))
    },
    "visdom": {
        "jsons": {
            "window_1": {
                "content": {
                    "data": [
                        {"name": name, "x": [*range(6)], "y": values, "type": "scatter"}
                        for name, values in (("D loss", D), ("G loss", G))
                    ]
                }
            }
        }
    },
}


@pytest.mark.parametrize("form", DOCUMENTS)
def test_what_trackers_write_as_json_is_read(form: str, tmp_path: Path) -> None:
    text = json.dumps(DOCUMENTS[form])
    check(log(tmp_path, text, "metrics.json"), STEPS, "iteration")


def boxed(rule: str, edge: str = "|", between: str = "") -> list[str]:
    """A table with edges, as prettytable, tabulate and rich draw them."""
    rows = [f"{edge}  {step} {edge} {d} {edge} {g} {edge}" for step, (d, g) in enumerate(ROWS)]
    rows = [line for row in rows for line in (row, between) if line]
    return [rule, f"{edge} Step {edge} D loss {edge} G loss {edge}", rule, *rows, rule]


TABLES_IN_TEXT: dict[str, list[str]] = {
    "Chainer": [
        "iteration   gen/loss    dis/loss    FID",
        *(
            line
            for step, (d, g) in enumerate(ROWS)
            for line in (
                f"{step:<10}  {g:<10}  {d:<10}  {50 if step == 3 else '':<10}",
                "     total [..................................................]   0.33%",
                f"       {step} iter, 0 epoch / 30 epochs",
                "    22.3 iters/sec. Estimated time to finish: 0:49:59.",
            )
        ),
    ],
    "single spaces": ["step d_loss g_loss", *(f"{n} {d} {g}" for n, (d, g) in enumerate(ROWS))],
    "cells left blank": [
        "  Step    Time    D loss    G loss    FID",
        "------  ------  --------  --------  -----",
        *(
            f"{n:6d}  {'0:01':>6}  {d:8}  {g:8}  {'' if n else 50.5:>5}"
            for n, (d, g) in enumerate(ROWS)
        ),
        "saved 3 models in 5",
    ],
    "edges between": [
        "Step | D loss | G loss",
        *(f"{n}/6 | {d} | {g}" for n, (d, g) in enumerate(ROWS)),
    ],
    "prettytable": boxed("+------+--------+--------+"),
    "tabulate": boxed("+======+========+========+", between="+------+--------+--------+"),
    "rich": boxed("┡━━━━━━╇━━━━━━━━╇━━━━━━━━┩", edge="│"),
    "two lines of a header": [
        "|======================================|",
        "|  Iteration  |  Generator  |  Discriminator  |",
        "|             |    Loss     |      Loss       |",
        "|======================================|",
        *(f"| {step} | {g} | {d} |" for step, (d, g) in enumerate(ROWS)),
    ],
    "a box a row": [
        line
        for step, (d, g) in enumerate(ROWS)
        for line in ("-" * 20, f"| loss_d | {d} |", f"| loss_g | {g} |", f"| step | {step} |")
    ],
    "a box a row with nothing between": [
        line
        for step, (d, g) in enumerate(ROWS)
        for line in (f"| loss_d | {d} |", f"| loss_g | {g} |", f"| step | {step} |")
    ],
}


@pytest.mark.parametrize("form", TABLES_IN_TEXT)
def test_a_table_may_stand_in_a_text(form: str, tmp_path: Path) -> None:
    lines = ["GPU: 0", "Loading data... done in 3.2 s", "", *TABLES_IN_TEXT[form]]
    check(log(tmp_path, "\n".join(lines)), STEPS, "iteration")


@pytest.mark.parametrize(
    ("row", "held_out"),
    [
        ("[Train] epoch {n}: D {d} G {g}", "[Val] epoch {n}: D {d} G {g}"),
        ("epoch: {n} D: {d} G: {g}", "[Valid] epoch: {n} D: {d} G: {g}"),
        ("epoch: {n} D: {d} G: {g}", "Test | epoch: {n} D {d} G {g}"),
        (
            "=> epoch: {n} Average Train VAE loss: 0.3, G loss: {g}, D loss: {d}",
            "=> epoch: {n} Average Valid VAE loss: 0.3, G loss: {g}, D loss: {d}",
        ),
        (
            "[Epoch {n}] losses:\n - Training Loss G: {g}, D: {d}",
            " - Validation Loss G: {g}, D: {d}",
        ),
        ("Train Epoch {n} D: {d} G: {g}", "Test Epoch: {n} D: {d} G: {g}"),
        ("(train) epoch {n} D loss: {d} G loss: {g}", "(val) epoch {n} D loss: {d} G loss: {g}"),
        ("Epoch {n} Train Loss D: {d} G: {g}", "Epoch {n} Test Loss D: {d} G: {g}"),
        (
            "Epoch {n}/6\nTrain:\n  D loss: {d}\n  G loss: {g}",
            "Validation:\n  D loss: {d}\n  G loss: {g}",
        ),
        ("Epoch {n}/6\nD loss: {d}, G loss: {g}", "--- Test results ---\nD loss: {d}, G loss: {g}"),
    ],
)
def test_losses_on_held_out_data_are_not_those_of_training(
    row: str, held_out: str, tmp_path: Path
) -> None:
    lines = [
        text
        for n, (d, g) in enumerate(ROWS, 1)
        for text in (row.format(n=n, d=d, g=g), held_out.format(n=n, d=d + 1, g=g + 1))
    ]
    check(log(tmp_path, "\n".join(lines)), [1.0, 2, 3, 4, 5, 6], "epoch")


@pytest.mark.parametrize("form", ["CSV", "CSV, a row for each value", "JSON lines"])
def test_a_column_may_tell_rows_of_validation(form: str, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"step": n, "phase": phase, "d_loss": d + more, "g_loss": g + more}
        for n, (d, g) in enumerate(ROWS)
        for phase, more in (("train", 0), ("val", 8))
    ]
    if form == "JSON lines":
        lines = [json.dumps(row) for row in rows]
    elif form == "CSV":
        lines = ["step,phase,d_loss,g_loss", *(",".join(map(str, r.values())) for r in rows)]
    else:
        names = ("d_loss", "g_loss")
        lines = [f"{row['step']},{row['phase']},{k},{row[k]}" for k in names for row in rows]
        lines = ["step,phase,metric,value", *lines]
    check(log(tmp_path, "\n".join(lines), "log.csv"), STEPS, "iteration")


def test_a_heading_ends_where_a_row_has_its_own_step(tmp_path: Path) -> None:
    lines = ["Validation:", "FID: 33.2", *(f"[{n}] D: {d} G: {g}" for n, (d, g) in enumerate(ROWS))]
    check(log(tmp_path, "\n".join(lines)), STEPS, "iteration")


def test_a_heading_ends_where_rows_go_on(tmp_path: Path) -> None:
    lines = ["Evaluation:", "FID: 33.2", *(f"D: {d} G: {g}" for d, g in ROWS)]
    check(log(tmp_path, "\n".join(lines)), [1.0, 2, 3, 4, 5, 6], "row")


@pytest.mark.parametrize(
    "before", ["eval step: {n}", "Test | step {n}", "step {n} val rec loss: 3,"]
)
def test_losses_that_are_all_called_held_out_are_those_there_are(
    before: str, tmp_path: Path
) -> None:
    lines = [f"{before.format(n=n)} D loss: {d}, G loss: {g}" for n, (d, g) in enumerate(ROWS)]
    check(log(tmp_path, "\n".join(lines)), STEPS, "iteration")


def test_a_heading_ends_at_an_empty_line(tmp_path: Path) -> None:
    lines = ["Validation:", "FID: 33.2", "", *(f"D: {d} G: {g}" for d, g in ROWS)]
    check(log(tmp_path, "\n".join(lines)), [1.0, 2, 3, 4, 5, 6], "row")


def test_a_loss_of_validation_says_nothing_of_those_behind_it(tmp_path: Path) -> None:
    lines = [f"epoch {n}, val loss: 0.7, D loss: {d}, G loss: {g}" for n, (d, g) in enumerate(ROWS)]
    check(log(tmp_path, "\n".join(lines)), STEPS, "epoch")


@pytest.mark.parametrize(
    ("of_d", "of_g"),
    [
        ("C loss", "G loss"),
        ("closs", "gloss"),
        ("loss_dsc", "loss_gen"),
        ("LD", "LG"),
        ("hinge_d", "hinge_g"),
        ("判别器损失", "生成器损失"),
        ("判别器loss", "生成器loss"),
    ],
)
def test_names_of_losses(of_d: str, of_g: str, tmp_path: Path) -> None:
    colon = ":" if of_d.isascii() else "\uff1a"
    lines = [f"step: {n} | {of_d}{colon} {d} | {of_g}{colon} {g}" for n, (d, g) in enumerate(ROWS)]
    check(log(tmp_path, "\n".join(lines)), STEPS, "iteration")


@pytest.mark.parametrize("of_d", ["d_loss: {d}", "d_loss_real: {d} d_loss_fake: 0"])
def test_c_beside_a_loss_of_d_is_no_critic(of_d: str, tmp_path: Path) -> None:
    form = f"step: {{n}} c_loss: 0.3 {of_d} g_loss: {{g}}"
    lines = [form.format(n=n, d=d, g=g) for n, (d, g) in enumerate(ROWS)]
    check(log(tmp_path, "\n".join(lines)), STEPS, "iteration")


def test_a_part_of_ds_loss_is_not_the_whole(tmp_path: Path) -> None:
    lines = [f"step: {n} hinge_d: 0.3 d_loss: {d} g_loss: {g}" for n, (d, g) in enumerate(ROWS)]
    check(log(tmp_path, "\n".join(lines)), STEPS, "iteration")


def test_three_discriminators_are_no_halves(tmp_path: Path) -> None:
    lines = [f"Iter {n} D1: {d} D2: 0.2 D3: 0.3 G: {g}" for n, (d, g) in enumerate(ROWS)]
    found = log(tmp_path, "\n".join(lines))
    assert list(found.pairs) == ["1", "2", "3"]
    assert found.pairs["1"]["d_loss"].tolist() == D
    assert found.pairs["3"]["d_loss"].tolist() == [0.3] * 6
    assert found.pairs["3"]["g_loss"].tolist() == G


@pytest.mark.parametrize(
    "line", ["E{n} S{n}0 d_loss {d} g_loss {g}", "run7_{n} d_loss: {d} g_loss: {g}"]
)
def test_a_number_within_a_word_makes_no_pair_a_line(line: str, tmp_path: Path) -> None:
    lines = [line.format(n=n, d=d, g=g) for n, (d, g) in enumerate([*ROWS] * 6)]
    found = log(tmp_path, "\n".join(lines))
    check(found, [float(n) for n in range(1, 37)], "row", D * 6, G * 6)


def test_chinese_writes_around_the_number_of_an_epoch(tmp_path: Path) -> None:
    lines = [f"第{n}轮 d_loss: {d} g_loss: {g}" for n, (d, g) in enumerate(ROWS)]
    check(log(tmp_path, "\n".join(lines)), STEPS, "epoch")


def test_records_may_be_called_by_their_epochs(tmp_path: Path) -> None:
    document = {f"epoch_{n}": {"d_loss": d, "g_loss": g} for n, (d, g) in enumerate(ROWS)}
    check(log(tmp_path, json.dumps(document), "metrics.json"), STEPS, "epoch")


def test_two_tables_may_stand_side_by_side(tmp_path: Path) -> None:
    epochs = {0: "1,90.5", 1: "2,80.5", 2: "3,70.5"}
    rows = [f"{n},{g},{d},{epochs.get(n, ',')}" for n, (d, g) in enumerate(ROWS)]
    text = "\n".join(["Iteration,Generator Loss,Discriminator Loss,Epoch,FID", *rows])
    found = log(tmp_path, text, "log.csv")
    check(found, STEPS, "iteration")
    assert found.evaluations["FID"].tolist() == [90.5, 80.5, 70.5]
    assert found.evaluations["step"].tolist() == [1, 3, 5]


def test_an_fid_of_one_class_is_not_the_one_that_counts(tmp_path: Path) -> None:
    lines = [
        f"epoch: {n} D: {d} G: {g}\nclass 0 FID: 1.5\nclass 1 FID: 2.5\nmean FID: {n}.5"
        for n, (d, g) in enumerate(ROWS)
    ]
    found = log(tmp_path, "\n".join(lines))
    assert found.metric is not None
    assert found.evaluations[found.metric].tolist() == [n + 0.5 for n in range(6)]


@pytest.mark.parametrize("form", ["CSV", "JSON lines", "MLflow"])
def test_losses_are_found_behind_thousands_of_columns(form: str, tmp_path: Path) -> None:
    more = {f"weight_{n}": 0.5 for n in range(5000)}
    records = [{**more, "step": n, "d_loss": d, "g_loss": g} for n, (d, g) in enumerate(ROWS)]
    if form == "CSV":
        rows = [",".join(map(str, record.values())) for record in records]
        text = "\n".join([",".join(records[0]), *rows])
    elif form == "JSON lines":
        text = "\n".join(map(json.dumps, records))
    else:
        rows = [f"{k},{v},{r['step']}" for r in records for k, v in r.items() if k != "step"]
        text = "\n".join(["key,value,step", *rows])
    found = log(tmp_path, text, "log.txt")
    check(found, STEPS, "iteration")
    assert any("columns beyond the first 4,096 left out" in note for note in found.notes)


FALLING = [90.5, 60.25, 48.0, 45.5, 44.0, 43.5]


def evaluated(found: Log, steps: list[float], unit: str, fids: list[float] = FALLING) -> None:
    assert found.metric is not None
    assert found.unit == unit
    assert found.evaluations["step"].tolist() == steps
    assert found.evaluations[found.metric].tolist() == fids


@pytest.mark.parametrize(
    "form",
    ["CSV", "Markdown", "JSON", "JSON, columns", "JSON lines", "a row for each value"],
)
@pytest.mark.parametrize(
    ("name", "cell", "unit"),
    [
        ("model", "{n}00", "iteration"),
        ("checkpoint", "{n}00", "iteration"),
        ("model_step", "{n}00", "iteration"),
        ("ckpt_epoch", "{n}00", "epoch"),
        ("ckpt", "ckpt-{n}00", "iteration"),
        ("model", "runs/7/G_{n}00.h5", "iteration"),
        ("checkpoint_path", "[G_{n}00](files/G_{n}00.pth)", "iteration"),
        ("snapshot", "network-snapshot-000{n}00.pkl", "kimg"),
        ("snapshot_pkl", "../0{n}-auto/network-snapshot-000{n}00.pkl", "kimg"),
        ("model", "netG_epoch_{n}00_of_900.pth", "epoch"),
        ("Epoch", "{n}00/900", "epoch"),
    ],
)
def test_the_number_of_a_checkpoint_is_the_step(
    name: str, cell: str, unit: str, form: str, tmp_path: Path
) -> None:
    cells = [cell.format(n=n) for n in range(1, 7)]
    rows = list(zip(cells, FALLING, strict=True))
    if form == "JSON":
        text = json.dumps([{name: at, "fid": fid} for at, fid in rows])
    elif form == "JSON, columns":
        plain = [int(at) if at.isdigit() else at for at in cells]
        text = json.dumps({name: plain, "fid": FALLING})
    elif form == "JSON lines":
        text = "\n".join(json.dumps({name: at, "fid": fid}) for at, fid in rows)
    elif form == "Markdown":
        text = "\n".join([f"| {name} | FID |", "|:--|--:|", *(f"| {a} | {f} |" for a, f in rows)])
    elif form == "CSV":
        text = "\n".join([f",{name},fid", *(f"{n},{a},{f}" for n, (a, f) in enumerate(rows))])
    else:
        text = "\n".join([f"{name},metric,value", *(f"{a},fid,{f}" for a, f in rows)])
    found = log(tmp_path, text, "evaluations.txt")
    evaluated(found, [100.0 * n for n in range(1, 7)], unit)


@pytest.mark.parametrize("order", [[5, 4, 3, 2, 1, 0], [0, 5, 1, 2, 3, 4], [3, 4, 5, 0, 1, 2]])
@pytest.mark.parametrize(
    ("name", "cell", "unit"),
    [
        ("model", "G_{n}.pth", "iteration"),
        ("model", "epoch_{n}.pth", "epoch"),
        ("epoch", "{n}", "epoch"),
    ],
)
def test_evaluations_may_stand_in_any_order(
    name: str, cell: str, unit: str, order: list[int], tmp_path: Path
) -> None:
    rows = [f"{cell.format(n=100 * n)},{FALLING[n]}" for n in order]
    found = log(tmp_path, "\n".join([f"{name},fid", *rows, "final,43.2"]), "fid.csv")
    evaluated(found, [100.0 * n for n in range(6)], unit)
    assert "rows are out of order: sorted by step" in found.notes
    assert "fid: 1 value without a step left out" in found.notes


@pytest.mark.parametrize(
    "cells",
    [
        ["no_ada", "ada", "dropout", "progressive", "large", "small"],
        ["no_ada_1", "no_ada_2", "no_ada_3", "std_ada_1", "std_ada_2", "std_ada_3"],
        ["1", "1", "1", "2", "2", "2"],
        ["2-16", "2-32", "2-64", "3-16", "3-32", "3-64"],
        ["0.5", "1", "1.5", "2", "2.5", "3"],
    ],
)
def test_names_of_models_are_no_steps(cells: list[str], tmp_path: Path) -> None:
    rows = [f"{cell},{fid}" for cell, fid in zip(cells, FALLING, strict=True)]
    found = log(tmp_path, "\n".join(["model,fid", *rows]), "fid.csv")
    evaluated(found, [1, 2, 3, 4, 5, 6], "row")


def test_the_number_of_a_checkpoint_is_no_step_where_another_is(tmp_path: Path) -> None:
    rows = [f"{60 - n},{n},{fid}" for n, fid in enumerate(FALLING)]
    found = log(tmp_path, "\n".join(["model,kimg,fid", *rows]), "fid.csv")
    evaluated(found, STEPS, "kimg")


def test_the_number_of_a_model_is_no_step_of_losses(tmp_path: Path) -> None:
    rows = [f"{10 * n},{d},{g}" for n, (d, g) in enumerate(ROWS)]
    found = log(tmp_path, "\n".join(["model,d_loss,g_loss", *rows]), "log.csv")
    check(found, [1.0, 2, 3, 4, 5, 6], "row")


@pytest.mark.parametrize("rule", ["|---|---|", "| ---------- | -----: |", "|:----------:|:-:|"])
def test_the_rule_of_a_table_is_no_missing_number(rule: str, tmp_path: Path) -> None:
    rows = [f"| {n} | {fid} |" for n, fid in enumerate(FALLING)]
    found = log(tmp_path, "\n".join(["| kimg | FID |", rule, *rows]), "README.md")
    evaluated(found, STEPS, "kimg")
    assert found.notes == ()


@pytest.mark.parametrize("before", ["", "the losses:\n\n"])
def test_a_table_of_pandas_may_have_names_of_several_words(before: str, tmp_path: Path) -> None:
    lines = ["    Epoch  Generator Loss  Discriminator Loss"]
    lines += [f"{n:<2}  {n:6}{g:15}{-d:20}" for n, (d, g) in enumerate(ROWS)]
    lines += ["..    ...             ...                 ...", "", "[300 rows x 3 columns]"]
    found = log(tmp_path, before + "\n".join(lines))
    check(found, STEPS, "epoch", [-d for d in D])


@pytest.mark.parametrize("rows", [6, 60])
def test_many_columns_without_a_heading_are_refused(rows: int, tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(5, 15, (rows, 50))
    np.savetxt(tmp_path / "fid_scores.txt", values)
    with pytest.raises(ReadError, match=r"50 columns of numbers without a heading: give them name"):
        read([tmp_path / "fid_scores.txt"])
    with pytest.raises(ReadError, match=r"no column 'fid' for d_loss; there is none at all"):
        read([tmp_path / "fid_scores.txt"], rename={"d_loss": "fid"})


@pytest.mark.parametrize(
    ("form", "unit", "notes"),
    [
        ("{fid}", "row", ["no step was found: rows are numbered"]),
        ("{n} {fid}", "iteration", []),
        ("{n} {fid} 0.5", "iteration", ["no heading: the last column is left out"]),
        ("{n},{fid},0.5,7.25,3", "iteration", ["no heading: the last 3 columns are left out"]),
    ],
)
def test_what_is_left_out_without_a_heading_is_told(
    form: str, unit: str, notes: list[str], tmp_path: Path
) -> None:
    lines = [form.format(n=n, fid=fid) for n, fid in enumerate(FALLING, 1)]
    found = log(tmp_path, "\n".join(lines), "fid.txt")
    evaluated(found, [1, 2, 3, 4, 5, 6], unit)
    assert list(found.notes) == notes
