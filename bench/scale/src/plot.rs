//! A plot of what platforms cost, by how many there are.

use anyhow::{Context, Result, bail};
use plotters::prelude::*;
use std::{fs, ops::Range, path::PathBuf};

/// Width and height of the picture, in pixels.
const SIZE: (u32, u32) = (960, 640);

#[derive(clap::Args)]
pub struct Args {
    /// CSV file of `converge --record`.
    #[arg(long, default_value = "bench/scale/results.csv")]
    from: PathBuf,
    /// SVG file that is written.
    #[arg(long, default_value = "docs/images/cost.svg")]
    to: PathBuf,
}

/// One panel: its title, and lines, each a column of the file and its label.
struct Panel {
    title: &'static str,
    lines: &'static [(&'static str, &'static str)],
}

const PANELS: [Panel; 4] = [
    Panel {
        title: "seconds until all are Ready",
        lines: &[("operator_seconds", "operator"), ("bare_seconds", "bare client")],
    },
    Panel {
        title: "requests for each platform",
        lines: &[("writes_each", "writes to Kubernetes"), ("aws_calls_each", "calls of AWS")],
    },
    Panel { title: "operator's memory at rest, MiB", lines: &[("rss_mib", "RSS")] },
    Panel { title: "operator's CPU at rest, % of one processor", lines: &[("idle_cpu_percent", "CPU")] },
];

/// Draws.
pub fn run(args: &Args) -> Result<()> {
    let text = fs::read_to_string(&args.from).with_context(|| format!("read {}", args.from.display()))?;
    let root = SVGBackend::new(&args.to, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    for (area, panel) in root.split_evenly((2, 2)).iter().zip(&PANELS) {
        let mut lines = Vec::new();
        for (column, label) in panel.lines {
            lines.push((*label, points(&text, column)?));
        }
        draw(area, panel.title, &lines)?;
    }
    root.present().with_context(|| format!("write {}", args.to.display()))
}

/// Platforms and value of each line of the file.
fn points(text: &str, column: &str) -> Result<Vec<(f64, f64)>> {
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().context("the file is empty")?;
    let place =
        |name: &str| header.iter().position(|it| *it == name).with_context(|| format!("no column {name}"));
    let (platforms, value) = (place("platforms")?, place(column)?);
    let mut points = Vec::new();
    for line in lines {
        let number = |index: usize| line.get(index).and_then(|field| field.parse::<f64>().ok());
        let (Some(x), Some(y)) = (number(platforms), number(value)) else { bail!("not figures: {line:?}") };
        points.push((x, y));
    }
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    Ok(points)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn draw(area: &Area<'_>, title: &str, lines: &[(&str, Vec<(f64, f64)>)]) -> Result<()> {
    let all = || lines.iter().flat_map(|(_, points)| points);
    let (least, most) = all().fold((f64::MAX, f64::MIN), |(a, b), (x, _)| (a.min(*x), b.max(*x)));
    let top = all().fold(0.0_f64, |top, (_, y)| top.max(*y)) * 1.15;
    let (x, y): (Range<f64>, Range<f64>) = (least..most * 1.1, 0.0..top.max(0.01));
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(52)
        .build_cartesian_2d(x.log_scale(), y)?;
    chart.configure_mesh().x_desc("platforms").light_line_style(WHITE).draw()?;
    for (index, (label, points)) in lines.iter().enumerate() {
        let colour = if index == 0 { BLUE } else { RED };
        chart
            .draw_series(LineSeries::new(points.iter().copied(), &colour).point_size(3))?
            .label(*label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .border_style(BLACK.mix(0.3))
        .background_style(WHITE)
        .draw()?;
    Ok(())
}
