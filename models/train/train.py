"""From the corpus to a model bundle, in stages whose results are kept under --work and reused.

    python train.py --corpus CORPUS --more MORE --work WORK --wheels WHEELS --program clonewatch --out ../clonewatch-10 \
        --date DAY
"""

import argparse
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import augment
import bundle
import calibrate
import card
import compress
import content
import dataset
import embed
import export
import head
import inserts
import pretrained
import splice
import tuning
from encoder import pretrained_encoder
from sizes import SIZES

TRAIN_CONDITIONS = ("clean", *augment.TRAIN)
VAL_CONDITIONS = ("clean", *augment.VAL)
PRETRAINED = "base"
THRESHOLD_CONDITIONS = ("clean", "phone", "phone2", "phone3", "media", "media2")
MAP_CONDITIONS = ("offset", *THRESHOLD_CONDITIONS)  # with harsher ones all LLRs shrink; see LOG.md
NOISE_CONDITIONS = (*MAP_CONDITIONS, "babble")  # without babble few copies are noisy enough to tell
FALSE_ALARM_RATIO = 0.005  # of out-of-fold genuine clips: on other sources it has been up to twice as many
BONA_FIDE_MISS_RATIO = 0.05
DENOISED_ABOVE = 0.3  # two clean clips in a hundred measure more, two thirds of denoised copies; see LOG.md
INSERT_FILES = {"short": 150, "long": 150, "lasting": 20}  # of a fold, by plan of `splice.py`
INSERT_KINDS = {  # of recordings: plan, and what each goes through
    f"{plan}{band}": (plan, condition)
    for plan in INSERT_FILES
    for band, condition in (("", None), (", telephone", augment.through_telephone))
}
INSERT_FOLDS, INSERT_FALSE_ALARM_RATIO = (0, 2, 3), 0.01
NO_INSERTS = {"spoof_below": -99.0, "sum_below": -99.0, "drop_nats": 99.0, "min_windows": 2}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--more", type=Path, help="clips for training alone, see gather.py")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--wheels", type=Path, required=True, help="folder of the downloaded wheels, see README.md")
    parser.add_argument("--program", required=True, help="clonewatch binary: its decoder, gate and features are used")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--date", required=True, help="date for the manifest, YYYY-MM-DD")
    parser.add_argument("--size", choices=SIZES, default="standard", help="see sizes.py")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    args.size = SIZES[args.size]
    args.kept = args.work / args.size.folder
    return args


@dataclass(frozen=True)
class Part:
    """Clips of one folder, by split and condition, and where what is made of them is kept."""

    corpus: Path
    work: Path
    kept: Path  # for statistics and the tuned layer's inputs, which belong to one encoder
    conditions: list

    def make_features(self, program, workers):
        """Copies and their features, so far as they are missing."""
        for split, name in self.conditions:
            condition = f"{split}-{name}"
            augment.make_copies(self.corpus, self.work / "copies", split, name, workers)
            features = self.work / "features" / condition
            if not (features / "index.csv").exists():
                protocol = self.work / "copies" / condition / "protocol.csv"
                subprocess.run([program, "features", protocol, "--out", features, "--dtype", "f16"], check=True)

    def make_statistics(self, encoder):
        """Pooled statistics of the features, so far as they are missing."""
        for split, name in self.conditions:
            condition = f"{split}-{name}"
            embed.embed_condition(encoder, self.work / "features" / condition, self.kept / "statistics" / condition)

    def training(self):
        """Names of the folders for training."""
        return [f"{split}-{name}" for split, name in self.conditions if split == "train"]

    def table(self):
        """The rows for training."""
        return dataset.load_table(self.work / "features", self.kept / "statistics", self.training())

    def add_inputs(self, encoder, inputs):
        """Adds those of the tuned layer for each row of the table to `inputs`, made so far as they are missing."""
        for condition in self.training():
            folder = self.kept / "inputs" / condition
            tuning.keep_inputs(encoder, self.work / "features" / condition, folder)
            inputs.add(folder, np.load(self.kept / "statistics" / condition / "speech.npy"))


def parts(args):
    train = [("train", name) for name in TRAIN_CONDITIONS]
    yield Part(args.corpus, args.work, args.kept, train + [("val", name) for name in VAL_CONDITIONS])
    if args.more:
        yield Part(args.more, args.work / "more", args.kept / "more", train)


def shipped_encoder(args):
    """Pretrained stem and layers, these thinned and without content, weights as 8 bits give them: training sees what ships.

    Kept as `encoder.pt` with the layer behind them, from which the tuned one starts (or None). Statistics, heads, inputs
    and the tuned layers belong to one encoder: delete them with it.
    """
    path, features = args.kept / "encoder.pt", args.work / "features"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        variables = pretrained.encoder_variables(pretrained.model_bytes(args.wheels, PRETRAINED))
        encoder = pretrained_encoder(variables, args.size.layers + (args.size.tuned is not None))
        if encoder.layers:
            compress.thin(encoder, content.example_chunks(features), args.size.inner_neurons)
        for name, value in encoder.state_dict().items():
            if name.endswith("weight") and value.ndim > 1:
                value.copy_(torch.from_numpy(export.rounded(value.numpy(), 0)))
        following = encoder.without_last_layer() if args.size.tuned else None
        if encoder.layers:
            weight, bias, means = content.fit(content.example_frames(features, encoder), encoder.width)
            encoder.without_content(export.rounded(weight, 0), bias, export.rounded(means, 1))
        torch.save((encoder, following), path)
    return torch.load(path, weights_only=False)


def trained_heads(args, table):
    """Kernel heads by name, and by name their out-of-fold outputs [rows, outputs]."""
    heads, outputs = {}, {}
    for name in bundle.HEAD_FILES:
        path = args.kept / f"head-{name}.pt"
        if not path.exists():
            weights = head.head_weights(table, name)
            torch.save(head.train(table, name, weights, args.size.heads[name]), path)
        heads[name], outputs[name] = torch.load(path, weights_only=False)
    return heads, outputs


@dataclass
class TunedLayer:
    whole: tuning.Tuned
    without: list  # `tuning.Tuned` by the fold it has not seen
    scores: np.ndarray  # [rows], out of fold


def tuned_layer(args, encoder, following, table):
    """`TunedLayer`, or None where the size has none."""
    if following is None:
        return None
    inputs = tuning.Inputs()
    for part in parts(args):
        part.add_inputs(encoder, inputs)
    return TunedLayer(*tuning.trained(args.kept, inputs, table, following, args.size.tuned))


def shipped_scores(outputs, tuned, size):
    """Out-of-fold scores [rows] by head, as the heads ship: the tuned layer counts in those that read the encoder."""
    scores = {name: values[:, 0] for name, values in outputs.items()}
    for name in ("full", "telephone") if tuned else ():
        scores[name] = (1 - size.tuned_share) * scores[name] + size.tuned_share * tuned.scores
    return scores


def out_of_fold_llrs(table, size, bands, scores):
    """As the program has them: each row by the heads and map of its band."""
    llrs, secs = np.zeros(len(table.speech)), table.speech * 0.02
    for band, rows in dataset.band_rows(table).items():
        mixed = calibrate.mixed(scores, band, size.other_share, size.fine_share)[rows]
        llrs[rows] = calibrate.llr(bands[band], mixed, secs[rows], table.snr_db[rows])
    return llrs


def out_of_fold_denoised(table, outputs):
    """[rows]: by the fine head of each row's band."""
    rows = dataset.band_rows(table)
    return np.where(rows["full"], outputs["fine"][:, 1], outputs["fine-telephone"][:, 1])


def calibrated(table, size, scores, denoised):
    """Maps of both bands and decision thresholds from out-of-fold scores and measures of denoising [rows].

    Rows that sound denoised have a threshold of their own, and no say in the maps or in the other thresholds.
    """
    weights = dataset.balanced_weights(table)
    group = np.char.add(np.char.add(table.system, "/"), np.char.add(table.speaker, table.condition))
    held = denoised > DENOISED_ABOVE
    bands = {}
    for band, rows in dataset.band_rows(table).items():
        mixed = calibrate.mixed(scores, band, size.other_share, size.fine_share)
        noisy = rows & ~held & np.isin(table.condition, NOISE_CONDITIONS)
        noise = calibrate.noise_shift(mixed[noisy], table.is_genuine[noisy], weights[noisy], table.snr_db[noisy])
        mixed = mixed - noise * calibrate.noise_share(table.snr_db)
        rows = rows & ~held & np.isin(table.condition, MAP_CONDITIONS)
        bands[band] = calibrate.fit_band(mixed[rows], table.is_genuine[rows], weights[rows], group[rows], noise)
    llrs = out_of_fold_llrs(table, size, bands, scores)
    judged = np.isin(table.condition, THRESHOLD_CONDITIONS)
    kinds = np.char.rstrip(table.condition, "0123456789")
    lowest = {}
    for band, rows in dataset.band_rows(table).items():
        part = rows & judged
        columns = (np.where(held, np.inf, llrs)[part], table.is_genuine[part], weights[part], kinds[part])
        lowest[band] = calibrate.spoof_threshold(*columns, FALSE_ALARM_RATIO)
    # One threshold serves both bands: the band with the longer tail of genuine clips is moderated until it does.
    spoof_below = max(lowest.values())
    bands = {band: calibrate.moderated(value, spoof_below / lowest[band]) for band, value in bands.items()}
    llrs = out_of_fold_llrs(table, size, bands, scores)
    above = np.quantile(llrs[judged & ~table.is_genuine], 1 - BONA_FIDE_MISS_RATIO)
    cleaned = np.isin(table.condition, head.DENOISED)
    columns = (np.where(held, llrs, np.inf)[cleaned], table.is_genuine[cleaned], weights[cleaned], kinds[cleaned])
    denoised_below = min(spoof_below, calibrate.spoof_threshold(*columns, FALSE_ALARM_RATIO))
    thresholds = {
        "spoof_below": round(spoof_below, 3),
        "bona_fide_above": round(float(max(above, spoof_below)), 3),
        "min_speech_secs": 2.0,
        "denoised": {"above": DENOISED_ABOVE, "spoof_below": round(denoised_below, 3)},
        "insert": NO_INSERTS,
    }
    return bands, thresholds


@dataclass
class Writer:
    """Writes bundles that share what is not trained on labels, and the maps."""

    args: argparse.Namespace
    encoder: torch.nn.Module
    tuned: TunedLayer | None
    bands: dict

    def write(self, out, heads, thresholds, fold=None, text="A bundle for measuring.\n"):
        """With `fold` the layer and the regressions that have not seen that fold's sources."""
        encoder, tuned = self.encoder, None
        if self.tuned:
            tuned = self.tuned.whole if fold is None else self.tuned.without[fold]
            encoder = encoder.with_tuned(tuned.layer)
        models = {name: self._head_model(name, part, fold, tuned) for name, part in heads.items()}
        networks = export.encoder_model(encoder), models, export.embedding_dims(encoder)
        bundle.write_bundle(out, self.args.date, self.args.size, *networks, self.bands, thresholds, text)

    def _head_model(self, name, part, fold, tuned):
        regression = part.regression if fold is None else part.without[fold]
        if tuned is None or name.startswith("fine"):
            return export.head_model(part.projection, regression)
        return export.mixed_head_model(part.projection, regression, tuned, self.args.size.tuned_share)


def insert_thresholds(args, writer, heads, thresholds):
    """Thresholds of the insert rule, and the recordings of held-out sources that they are chosen on, by kind."""
    recordings = {kind: [] for kind in INSERT_KINDS}
    for fold in INSERT_FOLDS:
        model_dir = args.kept / f"without-fold-{fold}"
        writer.write(model_dir, heads, thresholds, fold)
        for kind, (plan, condition) in INSERT_KINDS.items():
            folder = args.work / "splices" / f"train-{kind.replace(', ', '-')}-fold-{fold}"
            if not (folder / "protocol.csv").exists():
                splice.write_files(args.corpus, folder, "train", INSERT_FILES[plan], fold, condition, plan)
            recordings[kind] += inserts.scanned(args.program, model_dir, folder)
    return inserts.chosen_insert(recordings.values(), thresholds, INSERT_FALSE_ALARM_RATIO), recordings


def main():
    args = arguments()
    torch.set_num_threads(args.workers)
    for part in parts(args):
        part.make_features(args.program, args.workers)
    encoder, following = shipped_encoder(args)
    for part in parts(args):
        part.make_statistics(encoder)
    table = dataset.joined([part.table() for part in parts(args)])
    heads, outputs = trained_heads(args, table)
    tuned = tuned_layer(args, encoder, following, table)
    scores = shipped_scores(outputs, tuned, args.size)
    denoised = out_of_fold_denoised(table, outputs)
    bands, thresholds = calibrated(table, args.size, scores, denoised)
    writer = Writer(args, encoder, tuned, bands)
    thresholds["insert"], spliced = insert_thresholds(args, writer, heads, thresholds)
    spliced_rows = [
        inserts.file_line(
            f"train, sources held out, {kind}",
            recordings,
            inserts.found_by(thresholds, recordings),
            thresholds["insert"]["spoof_below"],
        )
        for kind, recordings in spliced.items()
    ]
    print(json.dumps(thresholds), *spliced_rows, sep="\n")
    writer.write(args.out, heads, thresholds)
    rows = card.out_of_fold_rows(table, out_of_fold_llrs(table, args.size, bands, scores), denoised, thresholds)
    text = card.text(args, thresholds, rows, spliced_rows)
    writer.write(args.out, heads, thresholds, text=text)


if __name__ == "__main__":
    main()
