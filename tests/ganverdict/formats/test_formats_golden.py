"""One training in every kind of log gives the numbers that steps.csv and epochs.csv give."""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganverdict.formats import describe, read
from ganverdict.log import Log
from tests.ganverdict.formats.event_files import write_events
from tests.ganverdict.formats.series import (
    BATCHES,
    EPOCHS,
    Floats,
    Series,
    by_epoch,
    check_same,
    plain,
    series,
)

Paths = list[Path]
Writer = Callable[[Path, Series], Paths]


@dataclass(frozen=True)
class Kind:
    """A kind of log: how it is written, and what it holds of the series."""

    write: Writer
    kind: str
    signals: tuple[str, ...] = ("d_loss", "g_loss")
    unit: str = "iteration"
    fid: bool = False
    loss: str | None = None
    first: int = 0  # the number of the first step
    per_epoch: float | None = None


KINDS: dict[str, Kind] = {}


def log(kind: str, **more: object) -> Callable[[Writer], Writer]:
    def keep(write: Writer) -> Writer:
        KINDS[write.__name__] = Kind(write, kind, **more)  # type: ignore[arg-type]
        return write

    return keep


def one(folder: Path, name: str, lines: list[str], end: str = "\n") -> Paths:
    path = folder / name
    path.write_text(end.join(lines) + end)
    return [path]


def places(run: Series) -> list[tuple[int, int, int]]:
    """Row, epoch and batch, both from 0."""
    return [(row, row // BATCHES, row % BATCHES) for row in run.rows]


OUTPUTS = ("d_loss", "g_loss", "d_real", "d_fake")


@log("pytorch/examples DCGAN", signals=OUTPUTS, loss="bce_sum", per_epoch=BATCHES)
def pytorch_examples(folder: Path, run: Series) -> Paths:
    lines = ["Random Seed:  999", "Starting Training Loop..."]
    for row, epoch, batch in places(run):
        lines.append(
            f"[{epoch}/{EPOCHS}][{batch}/{BATCHES}]\tLoss_D: {run.d_loss[row]:.4f}\tLoss_G:"
            f" {run.g_loss[row]:.4f}\tD(x): {run.d_real[row]:.4f}\tD(G(z)):"
            f" {run.d_fake[row]:.4f} / {run.d_fake[row] / 2:.4f}"
        )
    return one(folder, "train.out", lines)


@log("PyTorch-GAN", fid=True, per_epoch=BATCHES)
def pytorch_gan(folder: Path, run: Series) -> Paths:
    lines = []
    for row, epoch, batch in places(run):
        lines.append(
            f"[Epoch {epoch}/{EPOCHS}] [Batch {batch}/{BATCHES}] [D loss: {run.d_loss[row]:f},"
            f" acc: {row % 100}%] [G loss: {run.g_loss[row]:f}, info loss: 0.5] -- M: 0.1, k: 0.2"
        )
        if batch == BATCHES - 1:
            lines.append(f"FID: {run.fid[epoch]}")
    return one(folder, "nohup.out", lines)


@log("Keras-GAN")
def keras_gan(folder: Path, run: Series) -> Paths:
    lines = [
        f"{row} [D loss: {run.d_loss[row]:f}, acc.: {row % 100:.2f}%] [G loss: {run.g_loss[row]:f}]"
        for row in run.rows
    ]
    return one(folder, "log", lines)


@log("DCGAN-tensorflow", loss="bce_sum", per_epoch=BATCHES)
def dcgan_tensorflow(folder: Path, run: Series) -> Paths:
    lines = [
        f"[{row:8d} Epoch:[{epoch:2d}/{EPOCHS:2d}] [{batch:4d}/{BATCHES:4d}] time: {row / 7:4.4f},"
        f" d_loss: {run.d_loss[row]:.8f}, g_loss: {run.g_loss[row]:.8f}"
        for row, epoch, batch in places(run)
    ]
    return one(folder, "out.txt", lines)


SCORES = ("d_loss", "g_loss", "d_score_real", "d_score_fake")


@log("StyleGAN", unit="kimg", signals=SCORES, fid=True, loss="bce_sum")
def stylegan(folder: Path, run: Series) -> Paths:
    lines = []
    for row in run.rows:
        values = {
            "Loss/scores/fake": run.score_fake[row],
            "Loss/scores/real": run.score_real[row],
            "Loss/G/loss": run.g_loss[row],
            "Loss/D/loss": run.d_loss[row],
            "Loss/r1_penalty": 0.02,
            "Progress/tick": row,
            "Progress/kimg": row,
            "Progress/augment": 0.1,
        }
        record = {k: {"num": 64, "mean": float(v), "std": 0.2} for k, v in values.items()}
        lines.append(json.dumps({**record, "timestamp": 1.7e9 + row}))
    one(folder, "stats.jsonl", lines)
    evaluated = zip(run.evaluated(), run.fid, strict=True)
    records = [
        json.dumps(
            {
                "results": {"fid50k_full": float(fid)},
                "metric": "fid50k_full",
                "total_time": 99.5,
                "num_gpus": 8,
                "snapshot_pkl": f"network-snapshot-{kimg:06d}.pkl",
                "timestamp": 1.7e9,
            }
        )
        for kimg, fid in evaluated
    ]
    one(folder, "metric-fid50k_full.jsonl", records)
    ticks = [
        f"tick {row:<5d} kimg {row:<8.1f} time 1h 20m 03s sec/tick 71.0 sec/kimg 17.69"
        f" maintenance 0.0 cpumem 5.71 gpumem 33.13 reserved 34.29 augment 0.210"
        for row in run.rows
    ]
    one(folder, "log.txt", ["Loading training set...", *ticks])
    one(folder, "training_options.json", [json.dumps({"batch_size": 32, "total_kimg": 25000})])
    return [folder]


@log("StyleGAN", unit="kimg", signals=(), fid=True)
def stylegan_metric_text(folder: Path, run: Series) -> Paths:
    lines = [
        f"network-snapshot-{kimg:06d}   time 4m 12s    fid50k_full {fid:.3f}"
        for kimg, fid in zip(run.evaluated(), run.fid, strict=True)
    ]
    return one(folder, "metric-fid50k_full.txt", lines)


@log("StudioGAN", fid=True, first=1)
def studiogan(folder: Path, run: Series) -> Paths:
    return _studiogan(folder, run, "Gen_loss", "Dis_loss")


@log("StudioGAN", fid=True, first=1)
def studiogan_older(folder: Path, run: Series) -> Paths:
    return _studiogan(folder, run, "Generator_loss", "Discriminator_loss")


def _studiogan(folder: Path, run: Series, g: str, d: str) -> Paths:
    lines = ["[INFO] 2021-03-04 12:00:00 > Run name : CIFAR10-DCGAN-train-2021"]
    for row, epoch, batch in places(run):
        lines.append(
            f"[INFO] 2021-03-04 12:{row % 60:02d}:01 > Step: {row + 1:>6} Progress:"
            f" {row / len(run.rows):<6.1%} Elapsed: 0:0{row % 10}:02 {g}: {run.g_loss[row]:<10.6}"
            f" {d}: {run.d_loss[row]:<10.6} "
        )
        if batch == BATCHES - 1:
            lines.append(
                "[INFO] 2021-03-04 13:00:01 > Inception score (Step: "
                f"{row + 1}, 50000 generated images): 7.1"
            )
            lines.append(
                f"[INFO] 2021-03-04 13:00:01 > FID score (Step: {row + 1}, Using test moments):"
                f" {run.fid[epoch]}"
            )
            lines.append(f"[INFO] 2021-03-04 13:00:02 > Best FID score (Step: 40): {run.fid[0]}")
    return one(folder, "CIFAR10.log", lines)


@log("BigGAN-PyTorch", fid=True, loss="hinge")
def biggan_pytorch(folder: Path, run: Series) -> Paths:
    real = np.round(run.d_loss / 3, 4)
    one(folder, "G_loss.log", [f"{row}: {run.g_loss[row]:+8.7e}" for row in run.rows])
    one(folder, "D_loss_real.log", [f"{row}: {real[row]:+8.7e}" for row in run.rows])
    fake = [f"{row}: {run.d_loss[row] - real[row]:+8.7e}" for row in run.rows]
    one(folder, "D_loss_fake.log", fake)
    one(folder, "G_linear_sv0.log", [f"{row}: 3.1" for row in run.rows])
    records = [
        {"itr": step, "IS_mean": 7.1, "IS_std": 0.1, "FID": float(fid), "_stamp": 1.7e9}
        for step, fid in zip(run.evaluated(), run.fid, strict=True)
    ]
    one(folder, "BigGAN_C10_log.jsonl", [json.dumps(record) for record in records])
    return [folder]


@log("pix2pix", unit="image", loss="bce_mean", per_epoch=100 * BATCHES)
def pix2pix(folder: Path, run: Series) -> Paths:
    lines = ["================ Training Loss (Wed Mar  3 10:00:00 2021) ================"]
    for row, epoch, batch in places(run):
        half = run.d_loss[row]
        lines.append(
            f"(epoch: {epoch + 1}, iters: {100 * (batch + 1)}, time: 0.110, data: 0.002)"
            f" G_GAN: {run.g_loss[row]:.4f} G_L1: 20.100 D_real: {half + 0.01:.4f} D_fake:"
            f" {half - 0.01:.4f} "
        )
    return one(folder, "loss_log.txt", lines)


@log("rosinality StyleGAN2", signals=("d_loss", "g_loss"), loss="bce_sum")
def rosinality(folder: Path, run: Series) -> Paths:
    bars = [
        f"d: {run.d_loss[row]:.4f}; g: {run.g_loss[row]:.4f}; r1: 0.0312; path: 0.1; mean path:"
        f" 0.2; augment: 0.0:   {row * 100 // 480}%|{'█' * (row // 48)}     | {row}/480"
        f" [00:1{row % 10}<01:40,  4.7{row % 10}it/s]"
        for row in run.rows
    ]
    return one(folder, "train.log", bars, end="\r")


@log("lucidrains StyleGAN2", loss="hinge", fid=True)
def lucidrains(folder: Path, run: Series) -> Paths:
    lines = [
        f"Steps {row} | G: {run.g_loss[row]:.4f} | D: {run.d_loss[row]:.4f} | GP: 9.12 | PL: 0.1"
        for row in run.rows
    ]
    one(folder, "train.log", lines)
    scores = zip(run.evaluated(), run.fid, strict=True)
    one(folder, "fid_scores.txt", [f"{step},{fid}" for step, fid in scores])
    return [folder]


@log("BasicSR", signals=SCORES)
def basicsr(folder: Path, run: Series) -> Paths:
    lines = []
    for row, epoch, _ in places(run):
        real = round(run.d_loss[row] / 4, 4)
        lines.append(
            f"2021-03-04 12:00:01,123 INFO: [ESRGA..][epoch:{epoch:3d}, iter:{row:8,d},"
            " lr:(1.000e-04,)] [eta: 1 day, 2:20:01, time (data): 0.110 (0.002)] l_g_pix:"
            f" 1.2345e-02 l_g_gan: {run.g_loss[row]:.4e} l_d_real: {real:.4e} out_d_real:"
            f" {run.score_real[row]:.4e} l_d_fake: {run.d_loss[row] - real:.4e} out_d_fake:"
            f" {run.score_fake[row]:.4e} "
        )
    return one(folder, "train_ESRGAN.log", lines)


@log("mmagic")
def mmagic(folder: Path, run: Series) -> Paths:
    lines = []
    for row in run.rows:
        real = round(run.d_loss[row] / 4, 4)
        lines.append(
            f"2023/05/01 12:00:{row % 60:02d} - mmengine - INFO - Iter(train) [{row:4d}/480] "
            " lr: 2.0000e-04  eta: 1:00:00  time: 0.1012  data_time: 0.0101  memory: 1000 "
            f" loss_gen: {run.g_loss[row]:.4f}  loss_disc_fake: {run.d_loss[row] - real:.4f}"
            f"  loss_disc_real: {real:.4f}"
        )
    return one(folder, "20230501_120000.log", lines)


@log("CTGAN", unit="epoch", loss="wasserstein")
def ctgan(folder: Path, run: Series) -> Paths:
    d, g = by_epoch(run.d_loss), by_epoch(run.g_loss)
    return one(
        folder,
        "out.txt",
        [f"Epoch {e}, Loss G: {g[e]: .4f},Loss D: {d[e]: .4f}" for e in range(EPOCHS)],
    )


@log("CTGAN", unit="epoch", loss="wasserstein")
def ctgan_bar(folder: Path, run: Series) -> Paths:
    d, g = by_epoch(run.d_loss), by_epoch(run.g_loss)
    bars = [
        f"Gen. ({g[e]:.4f}) | Discrim. ({d[e]:.4f}): {e * 8:3d}%|{'█' * e}    | {e}/{EPOCHS}"
        for e in range(EPOCHS)
    ]
    return one(folder, "out.txt", bars, end="\r")


@log("CTGAN", unit="epoch", loss="wasserstein")
def ctgan_loss_values(folder: Path, run: Series) -> Paths:
    d, g = by_epoch(run.d_loss), by_epoch(run.g_loss)
    rows = [f"{e},{g[e]},{d[e]}" for e in range(EPOCHS)]
    return one(folder, "loss.csv", ["Epoch,Generator Loss,Discriminator Loss", *rows])


@log("CSV", fid=True, per_epoch=BATCHES)
def lightning(folder: Path, run: Series) -> Paths:
    lines = ["d_loss,epoch,g_loss,step,val_fid"]
    for row, epoch, batch in places(run):
        lines += [f"{run.d_loss[row]},{epoch},,{row},", f",{epoch},{run.g_loss[row]},{row},"]
        if batch == BATCHES - 1:
            lines.append(f",{epoch},,{row},{run.fid[epoch]}")
    return one(folder, "metrics.csv", lines)


@log("CSV", unit="epoch")
def keras_csv_logger(folder: Path, run: Series) -> Paths:
    d, g = by_epoch(run.d_loss), by_epoch(run.g_loss)
    rows = [f"{e},{d[e]},{g[e]}" for e in range(EPOCHS)]
    return one(folder, "training.log", ["epoch,d_loss,g_loss", *rows])


@log("text", fid=True, first=1, per_epoch=BATCHES)
def keras_bars(folder: Path, run: Series) -> Paths:
    lines = []
    for row, epoch, batch in places(run):
        if batch == 0:
            lines.append(f"Epoch {epoch + 1}/{EPOCHS}")
        done = "=" * (batch * 30 // BATCHES)
        lines.append(
            f"{batch + 1}/{BATCHES} [{done}>{'.' * (29 - len(done))}] - ETA: {batch}s - d_loss:"
            f" {run.d_loss[row]:.4f} - g_loss: {run.g_loss[row]:.4f}"
        )
        if batch == BATCHES - 1:
            lines.append(f"FID: {run.fid[epoch]}")
    return one(folder, "keras.txt", lines)


@log("Chainer", fid=True, per_epoch=BATCHES)
def chainer(folder: Path, run: Series) -> Paths:
    records = []
    for row, epoch, batch in places(run):
        record = {
            "epoch": epoch,
            "iteration": row,
            "elapsed_time": 0.1 * row,
            "dis/loss": run.d_loss[row],
            "gen/loss": run.g_loss[row],
        }
        if batch == BATCHES - 1:
            record["FID"] = run.fid[epoch]
        records.append(record)
    return one(folder, "log", [json.dumps(records, indent=4)])


@log("Weights & Biases", fid=True, per_epoch=BATCHES)
def wandb_history(folder: Path, run: Series) -> Paths:
    lines = ["_step,_runtime,_timestamp,d_loss,epoch,fid,g_loss"]
    for row, epoch, batch in places(run):
        fid = run.fid[epoch] if batch == BATCHES - 1 else ""
        lines.append(
            f"{row},{row / 3},{1.7e9 + row},{run.d_loss[row]},{epoch},{fid},{run.g_loss[row]}"
        )
    return one(folder, "history.csv", lines)


@log("Weights & Biases chart")
def wandb_charts(folder: Path, run: Series) -> Paths:
    for name, values in (("d_loss", run.d_loss), ("g_loss", run.g_loss)):
        column = f"fancy-sun-1 - {name}"
        rows = [f'"{row}","{values[row]}","{values[row]}","{values[row]}"' for row in run.rows]
        header = f'"Step","{column}","{column}__MIN","{column}__MAX"'
        one(folder, f"wandb_export_{name}.csv", [header, *rows])
    return [folder]


def _events(run: Series) -> list[tuple[str, int, float]]:
    scalars = []
    for row, epoch, batch in places(run):
        scalars += [("Loss/D", row, run.d_loss[row]), ("Loss/G", row, run.g_loss[row])]
        if batch == BATCHES - 1:
            scalars.append(("Metrics/FID", row, run.fid[epoch]))
    return scalars


@log("TensorBoard", fid=True)
def tensorboard_of_pytorch(folder: Path, run: Series) -> Paths:
    return [write_events(folder / "events.out.tfevents.1700000000.host.1.0", _events(run))]


@log("TensorBoard", fid=True)
def tensorboard_of_tensorflow(folder: Path, run: Series) -> Paths:
    write_events(folder / "events.out.tfevents.1700000000.host.1.0.v2", _events(run), tensor=True)
    return [folder]


@log("TensorBoard")
def tensorboard_add_scalars(folder: Path, run: Series) -> Paths:
    """`add_scalars` of PyTorch: a folder for each line of a chart, the same tag in all."""
    for name, values in (("Loss_D", run.d_loss), ("Loss_G", run.g_loss)):
        (folder / name).mkdir()
        write_events(
            folder / name / "events.out.tfevents.1700000000.host.1.0",
            [("Loss", row, values[row]) for row in run.rows],
        )
    return [folder]


@log("TensorBoard chart")
def tensorboard_charts(folder: Path, run: Series) -> Paths:
    for name, values in (("Loss_D", run.d_loss), ("Loss_G", run.g_loss)):
        rows = [f"{1.7e9 + row},{row},{values[row]}" for row in run.rows]
        one(folder, f"run-exp1-tag-{name}.csv", ["Wall time,Step,Value", *rows])
    return [folder]


@log("TensorBoard chart")
def tensorboard_json(folder: Path, run: Series) -> Paths:
    for name, values in (("Loss_D", run.d_loss), ("Loss_G", run.g_loss)):
        points = [[1.7e9 + row, row, values[row]] for row in run.rows]
        one(folder, f"exp1-tag-{name}.json", [json.dumps(points)])
    return [folder]


@log("Hugging Face trainer", fid=True, per_epoch=BATCHES)
def trainer_state(folder: Path, run: Series) -> Paths:
    history: list[dict[str, float]] = []
    for row, epoch, batch in places(run):
        at = {"epoch": epoch, "step": row}
        history.append({"d_loss": run.d_loss[row], "g_loss": run.g_loss[row], **at})
        if batch == BATCHES - 1:
            history.append({"eval_fid": run.fid[epoch], "eval_runtime": 3.2, **at})
    state = {"best_metric": None, "global_step": 480, "epoch": 12.0, "log_history": history}
    return one(folder, "trainer_state.json", [json.dumps(state, indent=2)])


@log("MLflow", fid=True)
def mlruns(folder: Path, run: Series) -> Paths:
    base = folder / "mlruns/0/abc123"
    metrics = base / "metrics"
    (metrics / "train").mkdir(parents=True)
    (metrics / "eval").mkdir()
    one(base, "meta.yaml", ["artifact_uri: here", "lifecycle_stage: active"])
    for name, values in (("d_loss", run.d_loss), ("g_loss", run.g_loss)):
        one(metrics / "train", name, [f"{1700000000 + r} {values[r]} {r}" for r in run.rows])
    evaluated = zip(run.evaluated(), run.fid, strict=True)
    one(metrics / "eval", "fid", [f"17 {fid} {step}" for step, fid in evaluated])
    return [folder / "mlruns"]


@log("MLflow", fid=True)
def mlflow_database(folder: Path, run: Series) -> Paths:
    path = folder / "mlflow.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE runs (run_uuid, name, lifecycle_stage, start_time)")
    connection.execute("CREATE TABLE metrics (key, value, timestamp, run_uuid, step, is_nan)")
    connection.execute("INSERT INTO runs VALUES ('abc', 'fancy', 'active', 1)")
    rows = [(tag, value, step, "abc", step, 0) for tag, step, value in _events(run)]
    connection.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()
    return [path]


@log("CSV", fid=True, per_epoch=BATCHES)
def spreadsheet(folder: Path, run: Series) -> Paths:
    def german(value: float) -> str:
        return f"{value}".replace(".", ",")

    lines = ["\ufeffIteration;Epoche;D-Verlust;Loss D;Loss G;FID;Epoch"]
    for row, epoch, batch in places(run):
        fid = german(run.fid[epoch]) if batch == BATCHES - 1 else ""
        lines.append(f"{row};x;;{german(run.d_loss[row])};{german(run.g_loss[row])};{fid};{epoch}")
    return one(folder, "Mappe1.csv", lines)


@log("CSV", fid=True)
def merged_csv(folder: Path, run: Series) -> Paths:
    lines = ["FID,train/loss_G,global_step,train/loss_D,lr"]
    for row, epoch, batch in places(run):
        fid = run.fid[epoch] if batch == BATCHES - 1 else ""
        lines.append(f"{fid},{run.g_loss[row]},{row},{run.d_loss[row]},0.0002")
    return one(folder, "all.csv", lines)


@log("CSV", fid=True)
def tab_separated(folder: Path, run: Series) -> Paths:
    lines = ["iter\terrG\terrD\tfid"]
    for row, epoch, batch in places(run):
        fid = run.fid[epoch] if batch == BATCHES - 1 else "N/A"
        lines.append(f"{row}\t{run.g_loss[row]}\t{run.d_loss[row]}\t{fid}")
    return one(folder, "all.tsv", lines)


@log("CSV")
def columns_between_spaces(folder: Path, run: Series) -> Paths:
    lines = ["# step  d_loss  g_loss"]
    lines += [f"{row:6d} {run.d_loss[row]:10.4f} {run.g_loss[row]:10.4f}" for row in run.rows]
    return one(folder, "losses.dat", lines)


@log("CSV", fid=True)
def long_table(folder: Path, run: Series) -> Paths:
    lines = ["step,tag,value"]
    lines += [f"{step},{tag},{value}" for tag, step, value in _events(run)]
    return one(folder, "scalars.csv", lines)


@log("JSON lines", fid=True)
def json_lines(folder: Path, run: Series) -> Paths:
    lines = []
    for row, epoch, batch in places(run):
        record = {"step": row, "losses": {"disc": run.d_loss[row], "gen": run.g_loss[row]}}
        if batch == BATCHES - 1:
            record["fid"] = run.fid[epoch]
        lines.append(json.dumps(record))
    return one(folder, "log.jsonl", lines)


@log("JSON")
def json_columns(folder: Path, run: Series) -> Paths:
    columns = {"step": list(run.rows), "G_losses": list(run.g_loss), "D_losses": list(run.d_loss)}
    return one(folder, "history.json", [json.dumps(columns)])


@log("NumPy")
def archive_of_arrays(folder: Path, run: Series) -> Paths:
    arrays: dict[str, Any] = {
        "step": np.array(run.rows),
        "D_losses": run.d_loss[:, None],
        "G_losses": run.g_loss,
        # What is pickled is left alone, as settings and pictures are.
        "args": np.array({"lr": 2e-4}, dtype=object),
        "batch": np.array(64),
        "samples": np.zeros((4, 28, 28)),
    }
    np.savez_compressed(folder / "history.npz", **arrays)
    return [folder / "history.npz"]


@log("NumPy")
def array_of_records(folder: Path, run: Series) -> Paths:
    records = np.zeros(len(run.rows), [("iter", "i8"), ("lossD", "f8"), ("lossG", "f8")])
    records["iter"], records["lossD"], records["lossG"] = run.rows, run.d_loss, run.g_loss
    np.save(folder / "log.npy", records)
    return [folder / "log.npy"]


@log("NumPy", unit="row", first=1)
def array_for_each_loss(folder: Path, run: Series) -> Paths:
    np.save(folder / "d_losses.npy", run.d_loss)
    np.save(folder / "g_losses.npy", run.g_loss)
    return [folder]


@log("text", fid=True)
def printed_dictionaries(folder: Path, run: Series) -> Paths:
    lines = []
    for row, epoch, batch in places(run):
        lines.append(
            str({"d_loss": float(run.d_loss[row]), "g_loss": float(run.g_loss[row]), "iter": row})
        )
        if batch == BATCHES - 1:
            lines.append(str({"eval_fid": float(run.fid[epoch]), "iter": row}))
    return one(folder, "out.log", lines)


@log("text", fid=True)
def printed_pairs(folder: Path, run: Series) -> Paths:
    lines = []
    for row, epoch, batch in places(run):
        lines.append(
            f"\x1b[32mINFO\x1b[0m 12:00:01 step={row} lr=2.0e-04 loss/disc={run.d_loss[row]:.4f}"
            f" loss/gen={run.g_loss[row]:.4f} gpu={row % 80}%"
        )
        if batch == BATCHES - 1:
            lines.append(f"FID at step {row}: {run.fid[epoch]} (best so far {run.fid[0]})")
    return one(folder, "out.log", lines)


@log("text", fid=True, unit="epoch", first=1)
def printed_epochs(folder: Path, run: Series) -> Paths:
    lines = []
    d, g = by_epoch(run.d_loss), by_epoch(run.g_loss)
    for epoch in range(EPOCHS):
        lines += [
            f"Epoch {epoch + 1}:",
            f"  Generator loss .... {g[epoch]:.4f}",
            f"  Discriminator loss: {d[epoch]:.4f}",
            f"  FID = {run.fid[epoch]}",
            f"  took {epoch}.5 s",
        ]
    return one(folder, "out.log", lines)


@log("text", per_epoch=BATCHES)
def bar_of_tqdm(folder: Path, run: Series) -> Paths:
    bars = [
        f"Epoch {epoch}: {batch * 100 // BATCHES:3d}%|{'█' * batch}{' ' * (BATCHES - batch)}|"
        f" {batch}/{BATCHES} [00:0{batch % 10}<00:30, 10.{batch}it/s, loss_d={run.d_loss[row]:.4f},"
        f" loss_g={run.g_loss[row]:.4f}]"
        for row, epoch, batch in places(run)
    ]
    return one(folder, "bars.txt", bars, end="\r")


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_gives_the_same_numbers(name: str, tmp_path: Path) -> None:
    kind, run = KINDS[name], series()
    if kind.loss == "wasserstein":  # less the estimate of a distance
        run = replace(run, d_loss=np.round(run.d_loss - 1.2, 4))
    folder = tmp_path / "log"
    folder.mkdir()
    paths = kind.write(folder, run)

    (found,) = read(paths)

    expected = _expected(kind, run, tmp_path / "plain")
    check_same(found, expected)
    assert found.unit == kind.unit
    assert found.loss == kind.loss
    assert found.kind == kind.kind
    assert found.steps_per_epoch == pytest.approx(kind.per_epoch) or kind.per_epoch is None
    assert kind.kind in describe(found)


def _expected(kind: Kind, run: Series, folder: Path) -> Log:
    columns: dict[str, Floats] = {
        "d_loss": run.d_loss,
        "g_loss": run.g_loss,
        "d_real": run.d_real,
        "d_fake": run.d_fake,
        "d_score_real": run.score_real,
        "d_score_fake": run.score_fake,
    }
    signals = {name: columns[name] for name in kind.signals}
    steps: list[float] = [row + kind.first for row in run.rows]
    evaluated: list[float] = [row + kind.first for row in run.evaluated()]
    if kind.unit == "epoch":
        signals = {name: by_epoch(values) for name, values in signals.items()}
        steps = evaluated = [epoch + kind.first for epoch in range(EPOCHS)]
    if kind.unit == "image":
        steps = [100.0 * (row + 1) for row in run.rows]
    unit = {"iteration": "step", "image": "images"}.get(kind.unit, kind.unit)
    fid = run.fid if kind.fid else None
    return plain(folder, signals, steps, fid, evaluated, unit)
