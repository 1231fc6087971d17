from benchmarks.digits import few_digits
from tests.small import digits, same

DATA = digits(train=50, test=20)


def test_few_digits_are_training_digits_with_their_labels_and_the_test_digits_stay() -> None:
    few = few_digits(DATA, 7, seed=1)
    assert len(few.train_images) == len(few.train_labels) == 7
    for image, label in zip(few.train_images, few.train_labels, strict=True):
        (place,) = (DATA.train_images == image).flatten(1).all(1).nonzero()
        assert DATA.train_labels[place] == label
    assert same([few.test_images, few.test_labels], [DATA.test_images, DATA.test_labels])


def test_the_seed_alone_decides_which() -> None:
    assert same(vars(few_digits(DATA, 7, seed=1)), vars(few_digits(DATA, 7, seed=1)))
    assert not same(vars(few_digits(DATA, 7, seed=1)), vars(few_digits(DATA, 7, seed=2)))
