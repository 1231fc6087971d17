"""Stage `judge`: train the digit classifier that measures samples, and measure the real digits."""

from pipeline.base.cli import Parser, UserError, load_params, progress_bar, run, write_json

if __name__ == "__main__":  # --help and wrong options first: the imports below take seconds
    run(Parser("judge", __doc__).parse_args)

from dcgan import judge as judging
from dcgan.measuring import Meter, reference, scale
from pipeline.base.device import set_up
from pipeline.base.paths import DATA, JUDGE, JUDGE_REPORT, REFERENCE
from pipeline.store.data import load_data
from pipeline.store.exam import examine
from pipeline.store.weights import save_tensors

MIN_TRAINING, MIN_TEST = 100, 20  # ten groups of two, and neighbours within a half


def main() -> None:
    Parser("judge", __doc__).parse_args()
    params = load_params()
    data = load_data()
    for name, images, least in (
        ("training", data.train_images, MIN_TRAINING),
        ("test", data.test_images, MIN_TEST),
    ):
        if len(images) < least:
            raise UserError(
                f"{DATA}: {len(images)} {name} images; the judge's metrics need at least {least}"
            )
    device = set_up(params.runtime)
    with progress_bar(total=params.judge.epochs, desc="judge", unit="epoch") as bar:
        for report in judging.fit(data, params.judge, params.runtime, device):
            bar.set_postfix(loss=f"{report.loss:.4f}")
            bar.update()
    judge = report.judge.cpu()
    counts, accuracy = examine(judge, data, params.judge)
    print(f"judge: right on {accuracy:.2%} of {int(counts.sum())} test digits")
    against = reference(judge, data, params.measure)
    known = scale(Meter(judge, against, params.measure), data)
    for name, metrics in known.items():
        print(f"  {name:>14}: fd {metrics['fd']:8.3f}   confident {metrics['confident']:.3f}")
    save_tensors(JUDGE, judge.state_dict(), {"accuracy": accuracy})
    save_tensors(REFERENCE, vars(against), {})
    # Lists, which DVC's tables of metrics leave out: accuracy is one column of them, not a hundred.
    rows = [{"set": name, **metrics} for name, metrics in known.items()]
    measured = {"accuracy": accuracy, "confusion": counts.tolist(), "scale": rows}
    write_json(JUDGE_REPORT, measured)


if __name__ == "__main__":
    run(main)
