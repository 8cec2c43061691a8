"""``lowbit search``: mixed precision for a network, every plan compiled, judged and measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lowbit.cli.console import note, notes_for_warnings, results
from lowbit.cli.data import use_pretrained_folder
from lowbit.errors import ConfigError
from lowbit.files import check_writable

__all__ = ["command"]

_WORKER = "worker"


def command(
    what: Annotated[str, typer.Argument(help="A .toml file, module:factory, a network; or `worker`, to join a study.")],
    data: Annotated[
        str | None,
        typer.Option(help="Folder of class folders, .npz, module:factory or torchvision:CIFAR10:folder; or models/ and dev/."),
    ] = None,
    calib_data: Annotated[str | None, typer.Option(help="The same for calibration; default: a share of --data.")] = None,
    share: Annotated[float | None, typer.Option(help="Share of --data that calibrates, and then does not judge; 0.2.")] = None,
    labels: Annotated[str | None, typer.Option(help="File of labels for a folder: .json or .csv of names and labels.")] = None,
    layers: Annotated[
        str | None, typer.Option(help="Layers to search: names, globs, conv, linear, depthwise; default: all.")
    ] = None,
    weights: Annotated[str | None, typer.Option(help="Widths of weights: 2..8 or 2,4,8.")] = None,
    activations: Annotated[str | None, typer.Option(help="Widths of the values that layers read: 4..8 or 4,6,8.")] = None,
    fix: Annotated[list[str] | None, typer.Option(help="PATTERN=i8/u8: a layer that is not searched; repeatable.")] = None,
    tie: Annotated[list[str] | None, typer.Option(help="PATTERN,PATTERN: layers with the same widths; repeatable.")] = None,
    base: Annotated[str | None, typer.Option(help="Precision of what is not searched; w8a8.")] = None,
    strategy: Annotated[str | None, typer.Option(help="tpe, nsga2, nsga3, gp, random, brute-force, greedy or ilp.")] = None,
    objectives: Annotated[str | None, typer.Option(help="Metrics, with scales if need be: accuracy,latency:0.2,size.")] = None,
    weighted: Annotated[bool | None, typer.Option("--weighted", help="One objective: the scaled sum of all.")] = None,
    constraint: Annotated[
        list[str] | None, typer.Option(help="'accuracy >= 0.91', 'accuracy >= w8a8 - 0.5%', 'size <= 90000'; repeatable.")
    ] = None,
    trials: Annotated[int | None, typer.Option(help="Complete trials in the end, of all workers; 100.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything that is drawn.")] = None,
    images: Annotated[int | None, typer.Option(help="Images that judge every plan; default: all.")] = None,
    calibration: Annotated[int | None, typer.Option(help="Images to calibrate with, at most; 500.")] = None,
    method: Annotated[
        str | None, typer.Option(help="How integers are found, once for each width: nearest; equalization,adaround; ...")
    ] = None,
    whole: Annotated[
        bool | None, typer.Option("--whole", help="The method works on every plan as a whole: better networks, longer trials.")
    ] = None,
    mean: Annotated[str | None, typer.Option(help="(pixel / SCALE - MEAN) / STD, a number a channel: 0.485,0.456,0.406.")] = None,
    std: Annotated[str | None, typer.Option(help="See --mean.")] = None,
    scale: Annotated[float | None, typer.Option(help="See --mean; default: 255.")] = None,
    size: Annotated[str | None, typer.Option(help="Cut from the middle of an image scaled to fit: 224 or 224x224.")] = None,
    resize: Annotated[int | None, typer.Option(help="Scale the shorter side to this before --size cuts.")] = None,
    input_shape: Annotated[str | None, typer.Option(help="If nothing says it: 1x3x224x224; x=1x3x224x224 (ONNX).")] = None,
    batch: Annotated[int | None, typer.Option(help="Images a run while judging; default: up to 50.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of every network; default: all cores.")] = None,
    target: Annotated[
        str | None, typer.Option(help="What latency is of: this machine, or raspberry-pi-4, ... under emulation.")
    ] = None,
    latency_batch: Annotated[int | None, typer.Option(help="Rows of the network that is timed; 1.")] = None,
    uniform: Annotated[str | None, typer.Option(help="Networks of one width to compare with: all, diagonal or none.")] = None,
    workers: Annotated[int | None, typer.Option(help="Plans that are tried at once; 1.")] = None,
    storage: Annotated[
        str | None, typer.Option(help="s.db, sqlite:///s.db, postgresql://user@host/base, grpc://host:port; default: memory.")
    ] = None,
    study: Annotated[str | None, typer.Option(help="Name of the study in the storage; lowbit.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds after which no trial is begun.")] = None,
    heartbeat: Annotated[
        float | None,
        typer.Option(help="Seconds between signs of life; a trial without one for three of them is tried again."),
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write all trials as CSV.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write everything as JSON.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the page of `lowbit pareto`.")] = None,
    rows: Annotated[int, typer.Option(help="Rows of the table.")] = 10,
) -> None:
    """Search bits of weights and values layer by layer; a Pareto front, or the best under constraints.

    Ctrl-C keeps all finished trials; with --storage the same command goes on.  `lowbit search worker --storage URL` joins from
    another terminal or machine.  Without data: `lowbit search digits-cnn`.
    """
    for path in (csv, json, html):
        if path:
            check_writable(path)
    from lowbit.cli.options import parse_input_shape, parse_layers, parse_numbers, parse_shape
    from lowbit.searching.study import storage_url

    extents = parse_shape(size) if size else None
    flags: dict[str, Any] = {
        "data": use_pretrained_folder(data),
        "calib_data": calib_data,
        "share": share,
        "labels": labels,
        "scale": scale,
        "mean": None if mean is None else parse_numbers(mean, "--mean"),
        "std": None if std is None else parse_numbers(std, "--std"),
        "size": None if extents is None else (extents[0], extents[-1]),
        "resize": resize,
        "input_shape": parse_input_shape(input_shape),
        "batch": batch,
        "calibration": calibration,
        "images": images,
        "strategy": strategy,
        "objectives": objectives,
        "weighted": weighted,
        "constraints": tuple(constraint) if constraint else None,
        "trials": trials,
        "seed": seed,
        "method": method,
        "whole": whole,
        "threads": threads,
        "target": target,
        "latency_batch": latency_batch,
        "uniform": uniform,
        "workers": workers,
        "storage": None if storage is None else storage_url(storage),
        "study": study,
        "timeout": timeout,
        "heartbeat": heartbeat,
    }
    space: dict[str, Any] = {
        "layers": None if layers is None else tuple(part.strip() for part in layers.split(",") if part.strip()),
        "weights": weights,
        "activations": activations,
        "fixed": {name: f"{wish.weights or ''}/{wish.activations or ''}" for name, wish in parse_layers(fix).items()}
        if fix
        else None,
        "tied": tuple(tuple(part.strip() for part in group.split(",")) for group in tie) if tie else None,
        "base": base,
    }
    from lowbit.searching.described import join, run_search
    from lowbit.searching.settings import merged, read_settings

    with notes_for_warnings():
        if what == _WORKER:
            if storage is None:
                raise ConfigError("a worker needs --storage, the URL of the study to join")
            result = join(
                flags["storage"],
                study,
                data=flags["data"],
                calib_data=calib_data,
                threads=threads,
                timeout=timeout,
                heartbeat=heartbeat,
                note=note,
            )
        else:
            settings = read_settings(what, flags, space) if what.endswith(".toml") else merged({"network": what}, flags, space)
            result = run_search(settings, note=note)
    from lowbit.searching.show import best_table, save_csv, save_json, search_page, words

    found = result.to_json()
    results().print(best_table(found, rows))
    for line in words(found):
        results().print(line, markup=False)
    if csv:
        save_csv(found, csv)
    if json:
        save_json(found, json)
    if html:
        from lowbit.files import write_whole

        write_whole(html, search_page(found))
    if not result.complete:
        note("interrupted: the same command with the same --storage goes on")
        raise typer.Exit(130)
