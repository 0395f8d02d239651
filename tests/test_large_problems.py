"""Images and translation by minibatches: their data are read as they stand, and simmering runs on them end to end."""

from __future__ import annotations

import gzip
import io
import json
import pickle
from dataclasses import replace
from math import log

import numpy as np
import pytest
import torch
from torch.nn import functional

import mdnet as md
import trajectories
from mdnet.data.cifar import TEST, TRAIN
from mdnet.data.sources import FOLDER
from mdnet.data.translation import END, PAD, START, Tokeniser
from mdnet.experiments.large import descent, minibatch, problems
from mdnet.experiments.large.tally import Tally
from mdnet.transformer import Transformer, token_loss

SENTENCES = ["the cat sat on the mat", "the dog sat on the cat", "a mat is on the dog", "Ação, não! 😀\n"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    return tmp_path


def table(rows):
    return gzip.compress("".join("\t".join(row) + "\n" for row in rows).encode())


def numbered(count):
    """Made-up pairs, no sentence of which is there twice."""
    return [("made-up", f"row {i} of the table", f"linha {i} da tabela") for i in range(count)]


@pytest.mark.parametrize("size", [259, 270, 300])
def test_every_text_is_its_tokens(size):
    """Law: decode(encode(text)) = text, for any text and vocabulary, and what was merged is shorter."""
    tokeniser = Tokeniser.learn(SENTENCES[:3], size)
    assert tokeniser.size == min(size, tokeniser.size)
    for text in [*SENTENCES, "", "  two  spaces ", "\x00\t_ab_9"]:
        tokens = tokeniser.encode(text)
        assert tokeniser.decode([START, *tokens, END, PAD, 70]) == text
        assert all(3 <= token < tokeniser.size for token in tokens)
    assert (len(tokeniser.encode(SENTENCES[0])) < len(SENTENCES[0])) == (size > 259)


def test_merges_are_the_most_frequent_pairs():
    tokeniser = Tokeniser.learn(["ab ab ab abc", "bc"], 262)
    a, b, space = (3 + ord(letter) for letter in "ab ")
    assert tokeniser.merges == ((a, b), (space, 259), (3 + ord("b"), 3 + ord("c")))[: len(tokeniser.merges)]
    assert tokeniser.encode(" abc") == [260, 3 + ord("c")]
    with pytest.raises(ValueError, match="size = 258"):
        Tokeniser.learn(["ab"], 258)


def test_test_pairs_share_no_sentence_with_training(folder):
    rows = [
        *numbered(60),
        ("again", "Row 3 of the table", "outra coisa"),
        ("again", "another thing", "linha 5 da tabela"),
    ]
    (folder / "debian_en_pt.tsv.gz").write_bytes(table(rows))
    data = md.data.load("english-portuguese")
    assert (len(data), data.training_rows, data.shape) == (60, 54, (64,))
    sides = [
        [data.tokeniser.decode(row[part].tolist()) for row in data.inputs] for part in (slice(32), slice(32, None))
    ]
    for sentences in sides:
        assert not set(sentences[:54]) & set(sentences[54:])
    for row, target in zip(data.inputs, data.targets, strict=True):
        assert row[32] == START
        length = int((target != PAD).sum())
        assert target[length - 1] == END
        assert torch.equal(row[33 : 32 + length], target[: length - 1])  # the input is the target moved on by one
    split = md.data.split(data, standardise=False)
    assert torch.equal(split.test[0], data.inputs[54:])


@pytest.mark.parametrize(
    ("rows", "message"), [([("a", "b")], "row 1 has 2 columns"), ([("a", "b" * 99, "c")] * 3, "no pair to train")]
)
def test_a_bad_table_of_pairs_says_where(folder, rows, message):
    (folder / "debian_en_pt.tsv.gz").write_bytes(table(rows))
    with pytest.raises(ValueError, match=message):
        md.data.load("english-portuguese")


@pytest.fixture
def translator(seed):
    torch.manual_seed(seed + 1)
    network = Transformer(20, 6, width=8, heads=2, layers=1).double()
    tokens = torch.randint(3, 20, (5, 12))
    tokens[:, 4:6], tokens[:, 6], tokens[2:, 10:] = PAD, START, PAD
    return network, tokens


def test_a_later_token_changes_nothing_before(translator):
    """Law: the logits at a place depend on the source and on the target up to that place, and on all of these."""
    network, tokens = translator
    before = network(tokens)
    for place in range(6):
        changed = tokens.clone()
        changed[:, 6 + place] = 3 + (tokens[:, 6 + place] + 1) % 17
        moved = (network(changed) - before).abs().amax((0, 2))
        assert (moved[:place] == 0).all()
        assert (moved[place:] > 1e-9).all()
    changed = tokens.clone()
    changed[:, 0] = 3 + (tokens[:, 0] + 1) % 17
    assert ((network(changed) - before).abs().amax((0, 2)) > 1e-9).all()


def test_padding_is_ignored(translator):
    """Law: what stands where a sentence is padded moves neither the logits before it nor the loss."""
    network, tokens = translator
    longer = Transformer(20, 9, width=8, heads=2, layers=1).double()
    longer.load_state_dict(
        {name: x for name, x in network.state_dict().items() if name not in ("positions", "past")}, strict=False
    )
    padded = torch.full((5, 18), PAD)
    padded[:, :6], padded[:, 9:15] = tokens[:, :6], tokens[:, 6:]
    torch.testing.assert_close(longer(padded)[:, :6], network(tokens))
    targets = torch.randint(3, 20, (5, 6))
    targets[2:, 4:] = PAD
    logits = network(tokens)
    wild = logits.clone()
    wild[2:, 4:] = 100 * torch.randn(3, 2, 20)
    torch.testing.assert_close(token_loss(wild, targets), token_loss(logits, targets))
    kept = targets != PAD
    torch.testing.assert_close(token_loss(logits, targets), functional.cross_entropy(logits[kept], targets[kept]))
    assert token_loss(logits.zero_(), targets).item() == pytest.approx(log(20))


def test_translators_are_vectorised(translator):
    """Law: energies and forces of several replicas at once equal those of the bare modules."""
    network, tokens = translator
    targets = torch.cat([tokens[:, 7:], torch.full((5, 1), END)], 1)
    systems = [
        md.ParticleSystem(network, token_loss, tokens, targets, replicas=3, dtype=torch.float64, route=route)
        for route in ("eager", "module")
    ]
    q = systems[0].positions(seed=3)
    (u, f), (u1, f1) = (system.force(q) for system in systems)
    torch.testing.assert_close(u, u1)
    torch.testing.assert_close(f, f1)
    for one, energy in zip(q, u, strict=True):
        loss = token_loss(systems[0].module(one)(tokens), targets)
        torch.testing.assert_close(loss.detach(), energy)


@pytest.mark.parametrize("options", [{"width": 9}, {"width": 8, "heads": 3}, {"layers": 0}, {"dropout": 1.0}])
def test_impossible_transformers_are_refused(options):
    with pytest.raises(ValueError, match=rf"{next(iter(options))} = "):
        Transformer(20, 6, **options)


def batches(folder, rows=4):
    """A made-up CIFAR-10 in the python format; returns all pixels (6 rows, 3072) and labels."""
    place = folder / "cifar-10-batches-py"
    place.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (6 * rows, 3072), dtype=np.uint8)
    labels = [i % 10 for i in range(6 * rows)]
    for i, name in enumerate((*TRAIN, TEST)):
        part = slice(i * rows, (i + 1) * rows)
        content = {b"batch_label": b"made up", b"data": pixels[part].copy(), b"labels": labels[part]}
        (place / name).write_bytes(pickle.dumps(content, protocol=4))
    return place, pixels, labels


def test_cifar_in_its_python_format(folder):
    _, pixels, labels = batches(folder)
    data = md.data.load("cifar10")
    assert (data.shape, data.training_rows, data.classes) == ((3, 32, 32), 20, 10)
    torch.testing.assert_close(data.inputs.flatten(1) * 255, torch.from_numpy(pixels).float())
    assert data.targets.tolist() == labels


class Wicked:
    def __reduce__(self):
        return print, ("a program ran",)


@pytest.mark.parametrize("content", [Wicked(), {b"data": Wicked()}, np.random.default_rng(0)])
def test_a_pickle_runs_nothing(folder, capsys, content):
    """A pickle that asks for anything but arrays is refused before anything of it runs."""
    place, _, _ = batches(folder)
    (place / "data_batch_3").write_bytes(pickle.dumps(content))
    with pytest.raises(pickle.UnpicklingError, match=r"asks for (builtins\.print|numpy\.random)"):
        md.data.load("cifar10")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "no batch of CIFAR-10"),
        ({b"data": b"x", b"labels": []}, "b'data' is bytes"),
        ({b"data": np.zeros((2, 3072)), b"labels": [0, 1]}, "b'data' is float64"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 1, 2]}, "one row a label"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 10]}, "from 0 to 9"),
    ],
)
def test_a_bad_batch_says_what_is_wrong(folder, content, message):
    place, _, _ = batches(folder)
    (place / "data_batch_2").write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=message):
        md.data.load("cifar10")
    (place / "data_batch_2").unlink()
    with pytest.raises(FileNotFoundError, match="has no file data_batch_2"):
        md.data.load("cifar10")


@pytest.mark.parametrize("file", ["HIGGS.csv", "HIGGS.csv.gz"])
def test_higgs_by_path(folder, monkeypatch, file):
    monkeypatch.setattr("mdnet.data.sources._HIGGS_ROWS", 3)
    values = np.random.default_rng(0).normal(size=(5, 29))
    values[:, 0] = [1, 0, 1, 1, 0]
    text = io.StringIO()
    np.savetxt(text, values, delimiter=",")
    content = text.getvalue().encode()
    (folder / file).write_bytes(gzip.compress(content) if file.endswith("gz") else content)
    data = md.data.load("higgs")
    assert (data.shape, len(data), data.targets.tolist()) == ((28,), 3, [1, 0, 1])
    assert "unverified" in data.source
    torch.testing.assert_close(data.inputs, torch.from_numpy(values[:3, 1:]).float())


def test_bad_higgs_is_refused(folder):
    (folder / "HIGGS.csv").write_text("1,2,3\n0,1,2\n")
    with pytest.raises(ValueError, match="has 3 columns; HIGGS has a label"):
        md.data.load("higgs")


@pytest.mark.parametrize(
    ("name", "file"),
    [("cifar10", "cifar-10-batches-py"), ("higgs", "HIGGS.csv"), ("english-portuguese", "debian_en_pt.tsv.gz")],
)
def test_missing_data_say_where_to_put_them(folder, name, file):
    with pytest.raises(FileNotFoundError, match=rf"{file}.*{folder}.*put it into a folder"):
        md.data.load(name)


def test_a_tally_scores_as_all_at_once(seed):
    """Law: members added one by one score as the whole ensemble does in trajectories.ensemble."""
    truth = torch.randint(4, (30,))
    logits = 2 * torch.randn(5, 2, 30, 4)
    tally = Tally(truth)
    for member in logits:
        tally.add(member)
    scores, labels = tally.scores(), truth.numpy()
    for r in range(2):
        each = logits[:, [r]].numpy()
        soft = trajectories.ensemble.mean_softmax(each)
        assert scores.soft[r] == pytest.approx(trajectories.ensemble.accuracy(soft, labels))
        assert scores.nll[r] == pytest.approx(trajectories.ensemble.nll(soft, labels), rel=1e-5)
        vote = trajectories.ensemble.vote(each)
        assert scores.ensemble[r] == pytest.approx(trajectories.ensemble.accuracy(vote, labels))
        assert scores.members[r] == pytest.approx(trajectories.ensemble.accuracy(each[:, 0], labels).mean())


@pytest.fixture
def images(folder, seed):
    """Made-up images of two classes: a bright corner, left or right, in noise."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, 260)
    pixels = random.integers(0, 120, (260, 8, 8))
    for row, label in enumerate(labels):
        pixels[row, :4, 4 * label : 4 * label + 4] += 60
    whole = {"x": pixels.astype(np.uint8), "y": labels.astype(np.uint8)}
    parts = {f"{k}_train": v[:200] for k, v in whole.items()} | {f"{k}_test": v[200:] for k, v in whole.items()}
    np.savez(folder / "mnist.npz", **parts)
    return folder


@pytest.fixture
def small(images, monkeypatch):
    """A problem of seconds in the place of MNIST's."""
    problem = replace(
        problems.PROBLEMS["mnist"],
        network=lambda data, dropout: problems.dropping(md.networks.convnet((1, 8, 8), 2, (4,)), dropout),
        batch=20, rate=0.01, members=8, rows=200, dropouts=(0.1, 0.3), temperatures=(1e-5, 1e-4),
    )  # fmt: skip
    monkeypatch.setattr(problems, "PROBLEMS", {"mnist": problem})


def test_minibatch_simmering_end_to_end(images, small):
    """It learns made-up images beside every control, and the page is written."""
    done = minibatch.reproduce("mnist", images / "runs", seeds=2, epochs=12, device="cpu", progress=False)
    scores = done.comparison.scores
    assert list(scores) == [
        "Adam", "Adam, where the retrofit starts", "dropout, mean network", "dropout, 20 passes",
        "early stopping, ensemble of 4", "simmering",
    ]  # fmt: skip
    for method in ("Adam", "dropout, mean network", "simmering"):
        assert scores[method].soft.min() > 0.8, method
    results = json.loads((done.folder / "results.json").read_text())
    assert "shortened" in results["title"]
    assert [study["name"] for study in results["studies"]] == ["time", "settings", "members"]
    assert (done.folder / "report.html").stat().st_size > 10_000
    task = problems.prepare("mnist", seeds=2, seed=0, epochs=12)
    with trajectories.open(done.runs[0]) as run:
        assert run.observables["test/prediction"].values.shape[1:] == (2, 60, 2)
        steps = np.asarray(run.observables["test/prediction"].steps)
        assert (steps > minibatch.sampling_from(task, "retrofit")).sum() >= 8
    with pytest.raises(md.OutputExistsError, match="overwrite"):
        minibatch.reproduce("mnist", images / "runs", epochs=12, progress=False)


def test_it_learns_from_a_thermal_start(small):
    """Ab initio by minibatches the ensemble learns, without Adam."""
    task = problems.prepare("mnist", seeds=2, seed=0, epochs=30)
    start = task.particles().positions(seed=1)
    tally = minibatch.simmer(task, 1e-4, start, "ab-initio", None, progress=False)
    assert len(tally.samples) >= 8
    assert tally.scores().soft.min() > 0.8


def test_every_method_has_the_same_epochs(images, monkeypatch):
    """Law: the gradients of Adam, of a retrofit, of an ab-initio run and of all early-stopped networks are as many."""
    task = problems.prepare("mnist", seeds=1, seed=0, rows=200, epochs=10)
    total = task.steps(10)
    assert minibatch.lasting(task, "ab-initio") == total == 20
    assert descent.plateau(task, total) + minibatch.lasting(task, "retrofit") == total
    part = task.held_out()
    assert part.steps(task.problem.epochs / 4 * len(task.train[0]) / len(part.train[0])) == total // 4
    assert minibatch.sampling_from(task, "ab-initio") - minibatch.sampling_from(task, "retrofit") == descent.plateau(
        task, total
    )


def test_unknown_large_problems_and_less_than_an_epoch_are_refused(images):
    with pytest.raises(ValueError, match="did you mean 'cifar10'"):
        minibatch.reproduce("cifar", images)
    with pytest.raises(ValueError, match=r"epochs = 0\.5"):
        minibatch.reproduce("mnist", images, epochs=0.5)
