#!/usr/bin/env python3
"""Compares the transcoder with one bare ffmpeg process that encodes the same ladder.

    cargo build --release --workspace --bin transcoder
    bench/transcode/run.py --transcoder target/release/transcoder

Both take turns on the same clip, and in going first. Fails where the ladder (probe to last segment) takes more
than 1.10 times what the bare process takes, or all else more than 5 % of the ladder and two seconds.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time

LADDER_LIMIT = 1.10
REST_SHARE, REST_SECONDS = 0.05, 2.0
# A shorter clip measures the start of processes.
SHORTEST = 60
# (height, width, bit/s) of the default profile for a 16:9 source of 720 lines.
RUNGS = [(720, 1280, 2_500_000), (480, 854, 1_200_000), (360, 640, 700_000), (240, 426, 350_000)]


def make_clip(path, seconds):
    """Moving pictures with grain, so that the encoder has something to do, and a tone."""
    picture = f"testsrc2=s=1280x720:r=30:d={seconds},noise=alls=12:allf=t"
    command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", picture]
    command += ["-f", "lavfi", "-i", f"sine=f=440:r=48000:d={seconds}"]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "23", "-pix_fmt", "yuv420p", "-c:a", "aac", path]
    subprocess.run(command, check=True)


def timed(command, **options):
    """Wall-clock and processor seconds of a command and of all that it starts."""
    def spent():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    started, used = time.monotonic(), spent()
    subprocess.run(command, check=True, **options)
    return time.monotonic() - started, spent() - used


def bare_ffmpeg(clip, folder):
    """Wall-clock and processor seconds of one ffmpeg process for the ladder, as anyone would write it."""
    branches = "".join(f"[s{index}]" for index in range(len(RUNGS)))
    scaled = ";".join(
        f"[s{index}]scale={width}:{height}[v{index}]" for index, (height, width, _) in enumerate(RUNGS)
    )
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-i", clip]
    command += ["-filter_complex", f"[0:v]split={len(RUNGS)}{branches};{scaled}"]
    hls = ["-f", "hls", "-hls_segment_type", "fmp4", "-hls_time", "6", "-hls_list_size", "0"]
    for index, (height, _, rate) in enumerate(RUNGS):
        target = folder / f"{height}p"
        target.mkdir(parents=True)
        command += ["-map", f"[v{index}]", "-c:v", "libx264", "-preset", "veryfast", "-profile:v", "high"]
        command += ["-b:v", str(rate), "-maxrate", str(rate * 107 // 100), "-bufsize", str(rate * 120 // 100)]
        command += ["-sc_threshold", "0", "-g", "60", "-keyint_min", "60", *hls, str(target / "playlist.m3u8")]
    target = folder / "audio"
    target.mkdir()
    command += ["-map", "0:a", "-c:a", "aac", "-b:a", "128k", "-ac", "2", *hls, str(target / "playlist.m3u8")]
    return timed(command)


def transcoder(program, clip, folder, scratch):
    """Wall-clock seconds of the ladder and of all else, and processor seconds of both."""
    command = [program, "--local", clip, "--out", str(folder), "--scratch", str(scratch)]
    total, cpu = timed(command, stderr=subprocess.DEVNULL)
    ladder = json.loads((folder / "job.json").read_text())["timings"]["ladderSeconds"]
    return ladder, total - ladder, cpu


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transcoder", default="target/release/transcoder", help="the program")
    parser.add_argument("--seconds", type=int, default=SHORTEST, help=f"length of the clip, at least {SHORTEST}")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side runs")
    options = parser.parse_args()
    if options.seconds < SHORTEST:
        parser.error(f"--seconds {options.seconds}: a clip shorter than {SHORTEST} s measures the start of processes")
    if options.rounds < 1:
        parser.error("--rounds: at least 1")
    program = str(pathlib.Path(options.transcoder).resolve())
    with tempfile.TemporaryDirectory() as directory:
        place = pathlib.Path(directory)
        clip = str(place / "clip.mp4")
        make_clip(clip, options.seconds)
        bare_runs, our_runs = [], []
        for turn in range(options.rounds):
            sides = [
                lambda: bare_runs.append(bare_ffmpeg(clip, place / f"bare-{turn}")),
                lambda: our_runs.append(transcoder(program, clip, place / f"out-{turn}", place)),
            ]
            before = os.getloadavg()[0]
            for side in sides if turn % 2 == 0 else reversed(sides):
                side()
            (seconds, _), (ladder, rest, _) = bare_runs[-1], our_runs[-1]
            print(
                f"round {turn + 1}: bare {seconds:.2f} s, ladder {ladder:.2f} s, all else {rest:.2f} s,"
                f" load {before:.1f} to {os.getloadavg()[0]:.1f}",
                flush=True,
            )
    bare, bare_cpu = map(statistics.median, zip(*bare_runs))
    ladder, rest, cpu = map(statistics.median, zip(*our_runs))
    ratio, cpu_ratio, allowed = ladder / bare, cpu / bare_cpu, ladder * REST_SHARE + REST_SECONDS
    today = datetime.datetime.now(datetime.timezone.utc).date()
    print(f"{today}, {platform.machine()}, {os.cpu_count()} processors, {options.seconds} s, {options.rounds} rounds, medians")
    print(f"bare ffmpeg {bare:.1f} s, ladder {ladder:.1f} s")
    print(f"ladder {ratio:.3f} of bare ffmpeg (at most {LADDER_LIMIT})")
    print(f"processor time of the whole job {cpu_ratio:.3f} of bare ffmpeg (for information)")
    print(f"all else {rest:.2f} s (at most {allowed:.2f} s)")
    return 0 if ratio <= LADDER_LIMIT and rest <= allowed else 1


if __name__ == "__main__":
    sys.exit(main())
