"""The command line: `python -m paperlib COMMAND`; `make help` shows the same as make targets."""

import argparse
import contextlib
import os
import re
import select
import shlex
import signal
import sys
import traceback
import warnings

from paperlib import params as parameters
from paperlib.common import escape, hardware, places, refusals
from paperlib.common.errors import UserError, is_full, words_of
from paperlib.common.lock import lock
from paperlib.common.places import ROOT
from paperlib.params import Params

USER_FAULT, INTERRUPTED, UNREAD = 2, 130, 141  # the last two as shells count them: 128 and the signal


class OneLineParser(argparse.ArgumentParser):
    """Say what is wrong with a command line in one line."""

    def error(self, message: str) -> None:
        """Print the fault and exit with status 2."""
        print(f"paperlib: {message} (see python -m paperlib --help)", file=sys.stderr)
        raise SystemExit(USER_FAULT)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit status: 0, 1 (something failed or is stale), 2 (the user can put it right)."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end as on Ctrl-C: kernels stopped, lock given back
    try:
        _settle_environment(options)
        status = options.command(options)
        sys.stdout.flush()
        return status
    except UserError as error:
        if options.debug:
            traceback.print_exc()
        print(f"paperlib: {escape.one_line(error)}", file=sys.stderr)
        return USER_FAULT
    except KeyboardInterrupt:
        print("\npaperlib: interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:  # a fault of ours: still one line, the rest on request
        if isinstance(error, BrokenPipeError) and _is_unread():
            return UNREAD
        if options.debug:
            raise
        if is_full(error):
            print(f"paperlib: {error.strerror}: make room, then the same command goes on from here", file=sys.stderr)
            return USER_FAULT
        print(f"paperlib: internal error: {type(error).__name__}: {words_of(error)}"
              " (--debug shows where)", file=sys.stderr)
        return 1


def _is_unread() -> bool:
    """Say whether nobody reads any more what is printed, as after `| head`; the rest of it then goes nowhere."""
    printed = select.poll()
    printed.register(sys.stdout.fileno(), 0)
    if unread := bool(printed.poll(0)):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return unread


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="python -m paperlib", description=__doc__.split(";")[0], allow_abbrev=False)
    commands = parser.add_subparsers(dest="name", required=True, parser_class=OneLineParser, metavar="COMMAND")
    for name, (function, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        command.set_defaults(command=function)
        command.add_argument("--debug", action="store_true", help="show where a fault arose")
        if name == "doctor":
            continue
        command.add_argument("--profile", default="laptop", help="a file of params/profiles (default: laptop)")
        if name != "compress":  # of data of one's own
            command.add_argument("--datasets", nargs="+", default=["newsgroup"], help="files of params/datasets")
            command.add_argument("--seeds", nargs="+", default=["0"], help="whole numbers from 0")
        command.add_argument("--set", nargs="*", action="extend", default=[], metavar="NAME=VALUE", help="override parameters")
        if name in ("reproduce", "bundle"):
            command.add_argument("--engine", default="", choices=["dask"], help="run units on a cluster (default: in processes of this computer)")
        if name == "reproduce":
            command.add_argument("--scheduler", default="", metavar="ADDRESS", help="of a Dask cluster that runs already")
        if name == "plan":
            command.add_argument("--workers", default="", metavar="NUMBER", help="of a cluster: what up to so many would bring, by recorded seconds")
        if name == "bench":
            command.add_argument("--repeats", default="3", help="how often each thing is timed (default: 3)")
            command.add_argument("--shapes", default="", help="time random weights in the shapes of bert-base or bert-tiny")
            command.add_argument("--parts", nargs="+", help="only these parts (default: all)")
        if name == "reference":
            command.add_argument("--only", default="", choices=["numbers", "notebooks", "drawings"],
                                 help="numbers of all units, or the executed notebooks of one beside them (default: both); or draw what is kept anew")
        if name == "bundle":
            command.add_argument("--python-version", default="", metavar="3.X", help="of the other machine (default: this one's)")
        if name == "compress":
            command.add_argument("--seed", default="0", help="a whole number from 0")
            command.add_argument("--model", default="", help="a folder or hub id (default: the profile's)")
            command.add_argument("--data", default="newsgroup", help="a table of texts and labels, or a dataset's name")
            command.add_argument("--keep", default="", metavar="LAYERS", help="how many layers to keep")
            command.add_argument("--latency-ms", default="", metavar="MS", help="milliseconds for one text, one thread")
            command.add_argument("--max-drop", default="", metavar="POINTS", help="points of accuracy to lose at most (default: 1)")
            command.add_argument("--out", default="outputs/my-model", metavar="FOLDER", help="where the model goes")
            command.add_argument("--vocabulary", default="", help="used: keep only the pieces that the texts need")
        if name == "compare":
            command.add_argument("--with", dest="other", default="", metavar="FOLDER",
                                 help="a profile's folder of another run (default: the reference)")
    return parser


def _settle_environment(options: argparse.Namespace) -> None:
    """Refuse or mend what the environment tells our libraries, before they read it."""
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    if not hardware.threads(threads) and options.name != "doctor":
        raise UserError(f"environment: OMP_NUM_THREADS must be a number of threads, not {threads!r}; unset it")
    os.environ.pop("MPLBACKEND", None)  # figures are files: no window system, nor a backend that is not installed
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # what it warns of before it gives up is said by us
    if not options.debug:
        warnings.simplefilter("ignore")  # of libraries: they are for programmers
        os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker")  # which frees what processes held that an interrupt ended, and says so


def _studies(options: argparse.Namespace) -> tuple[list[Params], str]:
    """Return the checked parameters of every unit asked for, and the settings as one string."""
    settings = " ".join(map(_setting, options.set))
    seeds = [_seed(text) for text in options.seeds]
    for what, values in (("dataset", options.datasets), ("seed", seeds)):
        if len(set(values)) < len(values):
            raise UserError(f"command line: a {what} is given twice")
    own = parameters.parse_settings(settings)
    if "seed" in own and seeds not in ([0], [own["seed"]]):  # 0 is what is given where nobody says one
        raise UserError("command line: give seeds with SEEDS, or one with SET, not both")
    studies = [parameters.load(options.profile, name, seed, settings) for name in options.datasets for seed in seeds]
    one, *other = {params.profile_dir: params.dataset for params in studies}.values()
    if other:  # they would be two runs, of which one is drawn
        raise UserError(f"command line: SET changes {one} and {other[0]} in different parameters, as their own files differ: run them one after another")
    for params in studies:
        places.check_links(ROOT / params.output_dir, params.profile_dir, params.unit_dir)
    places.settle_tools(studies[0].cache_path)
    return studies, settings


def _setting(word: str) -> str:
    """Quote the value of `name=a value of several words`, which the shell handed over as one word."""
    name, equals, value = word.partition("=")
    try:
        whole = equals and not all("=" in part for part in shlex.split(word))
    except ValueError:  # an apostrophe
        whole = equals
    return f"{name}={shlex.quote(value)}" if whole and name.isidentifier() else word


def _seed(text: str) -> int:
    if not re.fullmatch(r"\d{1,18}", text, re.ASCII):
        raise UserError(f"command line: seed {refusals.quoted(text)} is not a whole number from 0")
    return int(text)


def _reproduce(options: argparse.Namespace) -> int:
    if options.scheduler and not options.engine:
        raise UserError("command line: a scheduler is for ENGINE=dask")
    studies, settings = _studies(options)
    if options.engine:
        from paperlib.driver import cluster  # imports torch

        cluster.check_installed()
    from paperlib.driver import run

    return run.reproduce(studies, settings, options.scheduler if options.engine else None)


def _figures(options: argparse.Namespace) -> int:
    from paperlib.driver import run

    return run.redraw(*_studies(options))


def _check(options: argparse.Namespace) -> int:
    from paperlib.driver import run

    return run.check(_studies(options)[0])


def _plan(options: argparse.Namespace) -> int:
    if options.workers:
        if not re.fullmatch(r"[1-9]\d{0,4}", options.workers, re.ASCII):
            raise UserError(f"command line: workers {options.workers!r} is not a whole number from 1 to 99999")
        from paperlib.driver import simulate

        print(simulate.report(_studies(options)[0], int(options.workers)))
        return 0
    from paperlib.driver import run

    return run.plan(_studies(options)[0])


def _bench(options: argparse.Namespace) -> int:
    studies, settings = _studies(options)
    if len(studies) > 1:
        raise UserError("command line: bench takes one dataset and one seed")
    if not re.fullmatch(r"\d{1,6}", options.repeats, re.ASCII):
        raise UserError(f"command line: repeats {refusals.quoted(options.repeats)} is not a whole number up to 999999")
    from paperlib.benchmark import bench

    return bench.main(studies[0], int(options.repeats), options.shapes, options.parts)


def _compress(options: argparse.Namespace) -> int:
    seed, settings = _seed(options.seed), " ".join(map(_setting, options.set))
    places.settle_tools(parameters.load(options.profile, settings=settings).cache_path)
    from paperlib.compression import compress  # takes seconds

    asked = {"keep": options.keep, "latency_ms": options.latency_ms, "max_drop": options.max_drop}
    made = compress(
        options.model, options.data, out=options.out, vocabulary=options.vocabulary, profile=options.profile, seed=seed,
        settings=settings, **asked,
    )  # fmt: skip
    print(made.sentence)
    return 0


def _reference(options: argparse.Namespace) -> int:
    studies, settings = _studies(options)
    if options.only == "drawings":
        from paperlib.driver import redrawing

        print(redrawing.redraw(studies[0], settings))
        return 0
    from paperlib.report.reference import keeping

    folder = studies[0].profile_dir
    with lock(folder) if folder.exists() else contextlib.nullcontext():  # no run writes it meanwhile
        print(keeping.make(studies[0], options.only))
    return 0


def _compare(options: argparse.Namespace) -> int:
    studies, _ = _studies(options)
    from paperlib.report import compare

    print(f"compared: {compare.main(studies[0], options.other or _usual_other(studies[0]))}")
    return 0


def _bundle(options: argparse.Namespace) -> int:
    studies, settings = _studies(options)
    if options.python_version and not re.fullmatch(r"3\.\d{1,2}", options.python_version):
        raise UserError(f"command line: python-version {options.python_version!r} is not of the form 3.12")
    from paperlib.common.messages import shown
    from paperlib.driver import bundle

    print(f"bundle: {shown(bundle.make(studies, settings, options.python_version, bool(options.engine)))}")
    return 0


def _usual_other(params: Params) -> str:
    """Return the run that another one is laid beside unasked: for an experiment the default study, else the reference."""
    if params.is_apart and (params.default_dir / "provenance.json").exists():
        return str(params.default_dir)
    return f"outputs/reference/{params.profile}"


def _doctor(options: argparse.Namespace) -> int:
    from paperlib.driver import doctor

    return doctor.main()


COMMANDS = {
    "reproduce": (_reproduce, "run every experiment that is not fresh, then write the report"),
    "figures": (_figures, "redraw figures, tables and report from stored numbers, without training"),
    "check": (_check, "say whether the outputs are fresh; status 1 if any is stale"),
    "plan": (_plan, "say how many fine-tunes, how long and how much disk; run nothing"),
    "bench": (_bench, "time the study beside a plain version of it on this machine"),
    "reference": (_reference, "keep the small files of finished units as the reference that the README shows"),
    "compress": (_compress, "make a classifier of your own smaller: layers removed, distilled, quantised"),
    "compare": (_compare, "lay the finished units beside those of another run"),
    "bundle": (_bundle, "gather packages, models and data in one folder for a machine without a network"),
    "doctor": (_doctor, "check the environment and say what to do"),
}

if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # loaded data is tokenised once, before any fork
    sys.exit(main())
