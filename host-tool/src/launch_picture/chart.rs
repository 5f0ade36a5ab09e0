//! The rows of a launch as one SVG: time runs to the right. Everything in it has its place by numbers; no script, no font.

use std::fmt::Write;

use ha_host_base::text::truncate_to_width;
use ha_wire::event::WaitsOn;
use ha_wire::phase::Phase;

use super::escape::escape_html;
use super::story::{Bar, LaunchStory, Mark, Row, StretchKind};
use super::words::{kind_class, kind_words, short_span};
use crate::launch::node_progress::Stage;

/// The whole drawing, in its own units: pixels where there is room for them.
const WIDTH: f64 = 1200.0;
/// Right of the last moment, for what is written at it.
const RIGHT: f64 = 76.0;
/// Above the first row: the axis, and who answers when.
const TOP: f64 = 46.0;
const BOTTOM: f64 = 10.0;
/// So wide is a letter at most, as a rule, of the chart's letters.
const LETTER: f64 = 6.7;
/// A bar that is narrower has no words in it.
const LEAST_WORDS: f64 = 30.0;
/// Every bar can be seen.
const LEAST_BAR: f64 = 1.5;
/// About so many marks on the axis.
const TICKS: u64 = 12;
/// Steps of the axis, milliseconds.
const STEPS: [u64; 13] = [
    1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000,
    3_600_000, 7_200_000,
];

/// Where things are.
struct Layout {
    left: f64,
    row: f64,
    bar: f64,
    /// Of a bar's upper edge in its row.
    inset: f64,
    /// Whether there is room for words below the bars.
    spoken: bool,
    end_ms: f64,
    rows: usize,
}

impl Layout {
    fn new(story: &LaunchStory) -> Self {
        let longest = story.rows.iter().map(|r| r.node.name.chars().count()).max();
        let (row, bar, inset, spoken) = match story.rows.len() {
            0..=12 => (50.0, 21.0, 7.0, true),
            13..=40 => (25.0, 16.0, 4.0, false),
            _ => (17.0, 12.0, 2.5, false),
        };
        Self {
            left: (longest.unwrap_or(0) as f64 * LETTER + 24.0)
                .clamp(if spoken { 112.0 } else { 70.0 }, 260.0),
            row,
            bar,
            inset,
            spoken,
            end_ms: story.end_ms.max(1) as f64,
            rows: story.rows.len(),
        }
    }

    fn x(&self, ms: u64) -> f64 {
        let share = (ms as f64 / self.end_ms).min(1.0);
        self.left + share * (WIDTH - self.left - RIGHT)
    }

    fn y(&self, row: usize) -> f64 {
        TOP + row as f64 * self.row
    }

    fn height(&self) -> f64 {
        self.y(self.rows) + BOTTOM
    }
}

/// The chart.
pub fn draw_chart(story: &LaunchStory) -> String {
    let layout = Layout::new(story);
    let height = layout.height();
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" class=\"chart\" role=\"group\" aria-labelledby=\"chart-title\" \
         xmlns=\"http://www.w3.org/2000/svg\">\n<title id=\"chart-title\">What each node of {} did, and when</title>\n\
         <defs><pattern id=\"waits\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><rect width=\"6\" height=\"6\" class=\"ground\"/><rect width=\"1.6\" height=\"6\" \
         class=\"stripe\"/></pattern></defs>\n",
        escape_html(&story.cluster)
    );
    draw_stripes(&mut svg, &layout);
    draw_axis(&mut svg, &layout, story.end_ms);
    draw_api(&mut svg, &layout, story);
    for (index, row) in story.rows.iter().enumerate() {
        draw_row(&mut svg, &layout, index, row);
    }
    draw_links(&mut svg, &layout, story);
    svg + "</svg>"
}

fn draw_stripes(svg: &mut String, layout: &Layout) {
    for index in (0..layout.rows).step_by(2) {
        let (y, h) = (layout.y(index), layout.row);
        let _ = writeln!(
            svg,
            "<rect x=\"0\" y=\"{y}\" width=\"{WIDTH}\" height=\"{h}\" class=\"lane\"/>"
        );
    }
}

fn draw_axis(svg: &mut String, layout: &Layout, end_ms: u64) {
    let fits = |step: &&u64| end_ms / **step <= TICKS;
    let step = STEPS
        .iter()
        .find(fits)
        .copied()
        .unwrap_or_else(|| end_ms.max(1));
    let bottom = layout.height() - BOTTOM;
    for ms in (0..=end_ms).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
        let (x, label) = (layout.x(ms), axis_label(ms));
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\" class=\"grid\"/>\
             <text x=\"{x:.1}\" y=\"14\" class=\"axis\" text-anchor=\"middle\">{label}</text>"
        );
    }
}

fn axis_label(ms: u64) -> String {
    match ms / 1000 {
        s if s < 120 => format!("{s} s"),
        s if s % 60 == 0 => format!("{} min", s / 60),
        s => format!("{}:{:02} min", s / 60, s % 60),
    }
}

/// Since when the cluster answers, as a line through all rows, from the row of whoever founded it.
fn draw_api(svg: &mut String, layout: &Layout, story: &LaunchStory) {
    let Some(at) = story.api_at else {
        return;
    };
    let (x, bottom) = (layout.x(at), layout.height() - BOTTOM);
    let words = format!("the API answers at {}", story.vip);
    let anchor = if x > WIDTH * 0.7 { "end" } else { "start" };
    let _ = writeln!(
        svg,
        "<g class=\"api\"><title>{words}, {after} after the begin</title><line x1=\"{x:.1}\" y1=\"{y}\" x2=\"{x:.1}\" \
         y2=\"{bottom}\"/><text x=\"{tx:.1}\" y=\"34\" text-anchor=\"{anchor}\">{words}</text>",
        words = escape_html(&words),
        after = short_span(at),
        y = TOP - 20.0,
        tx = if anchor == "end" { x - 5.0 } else { x + 5.0 },
    );
    let init = Stage::Working(Phase::Init);
    let founds = |row: &Row| row.bars.iter().any(|bar| bar.stage == init);
    if let Some(founder) = story.rows.iter().position(founds) {
        let y = layout.y(founder) + layout.inset + layout.bar / 2.0;
        let _ = write!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>");
    }
    svg.push_str("</g>\n");
}

fn draw_row(svg: &mut String, layout: &Layout, index: usize, row: &Row) {
    let y = layout.y(index);
    let name = escape_html(&row.node.name);
    let columns = ((layout.left - 14.0) / LETTER) as usize;
    let _ = writeln!(
        svg,
        "<g class=\"row\" data-node=\"{name}\"><text x=\"8\" y=\"{ty:.1}\" class=\"name\"><title>{name}, {role}, {address}</title>\
         {shown}</text>",
        ty = y + layout.inset + layout.bar * 0.5 + 4.2,
        role = row.node.role.label(),
        address = escape_html(&row.node.address),
        shown = escape_html(&truncate_to_width(&row.node.name, columns)),
    );
    if layout.spoken {
        let _ = writeln!(
            svg,
            "<text x=\"8\" y=\"{:.1}\" class=\"role\">{}</text>",
            y + 41.0,
            row.node.role.label()
        );
    }
    draw_images(svg, layout, y, row);
    for bar in &row.bars {
        draw_bar(svg, layout, y, row, bar);
    }
    if layout.spoken {
        draw_words(svg, layout, y, row);
    }
    for mark in &row.marks {
        draw_mark(svg, layout, y, row, mark);
    }
    draw_ready(svg, layout, y, row);
    svg.push_str("</g>\n");
}

fn draw_images(svg: &mut String, layout: &Layout, y: f64, row: &Row) {
    let Some((from, to)) = row.images else {
        return;
    };
    let (x, end) = (layout.x(from), layout.x(to));
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"2.5\" class=\"images\"><title>{}: images, {}</title></rect>",
        y + layout.inset + layout.bar + 1.0,
        (end - x).max(LEAST_BAR),
        escape_html(&row.node.name),
        short_span(to.saturating_sub(from)),
    );
}

fn draw_bar(svg: &mut String, layout: &Layout, y: f64, row: &Row, bar: &Bar) {
    let (x, end) = (layout.x(bar.from), layout.x(bar.to));
    // Neighbours do not touch.
    let width = (end - x - 1.0).max(LEAST_BAR.min(end - x)).max(0.3);
    let top = y + layout.inset;
    let class = kind_class(bar.kind);
    let cut = if bar.cut { " cut" } else { "" };
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.2}\" y=\"{top:.1}\" width=\"{width:.2}\" height=\"{h}\" rx=\"2\" class=\"bar {class}{cut}\">\
         <title>{title}</title></rect>",
        h = layout.bar,
        title = escape_html(&bar_title(row, bar)),
    );
    if width < LEAST_WORDS {
        return;
    }
    let room = ((width - 8.0) / LETTER) as usize;
    let mut label = bar.stage.to_string();
    if room > label.len() + 6 {
        label += &format!("  {}", short_span(bar.to - bar.from));
    }
    if room >= label.len().min(4) {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" class=\"on {class}\">{}</text>",
            x + 4.0,
            top + layout.bar * 0.5 + 3.8,
            escape_html(&truncate_to_width(&label, room)),
        );
    }
}

fn bar_title(row: &Row, bar: &Bar) -> String {
    let what = kind_words(bar.kind);
    let took = short_span(bar.to - bar.from);
    let cut = if bar.cut { ", not ended" } else { "" };
    let mut title = format!(
        "{}: {}, {what} for {took} from {} on{cut}",
        row.node.name,
        bar.stage,
        short_span(bar.from)
    );
    for (_, words) in &bar.words {
        title.push('\n');
        title.push_str(words);
    }
    title
}

/// What was waited for, below the bars, as far as there is room before the next words.
fn draw_words(svg: &mut String, layout: &Layout, y: f64, row: &Row) {
    let spoken = |bar: &&Bar| bar.kind == StretchKind::Wait && !bar.words.is_empty();
    let waits: Vec<&Bar> = row.bars.iter().filter(spoken).collect();
    // Failures have their words on the same line.
    let marks = row.marks.iter().map(|m| layout.x(m.at));
    for (index, bar) in waits.iter().enumerate() {
        let x = layout.x(bar.from);
        let next = waits.get(index + 1).map(|next| layout.x(next.from));
        let next_mark = marks.clone().filter(|m| *m >= x).reduce(f64::min);
        let until = next
            .unwrap_or(WIDTH - 8.0)
            .min(next_mark.map_or(WIDTH - 8.0, |m| m - 8.0));
        let room = ((until - x - 8.0) / (LETTER * 0.92)).max(0.0) as usize;
        let words = longest_words(bar);
        if room < 10 {
            continue;
        }
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{:.1}\" class=\"said\">{}</text>",
            y + 43.0,
            escape_html(&truncate_to_width(words, room)),
        );
    }
}

/// The words that stood longest.
fn longest_words(bar: &Bar) -> &str {
    let ends = bar.words.iter().skip(1).map(|(at, _)| *at).chain([bar.to]);
    let stood = bar.words.iter().zip(ends);
    stood
        .max_by_key(|((at, _), end)| end.saturating_sub(*at))
        .map_or("", |((_, words), _)| words.as_str())
}

fn draw_mark(svg: &mut String, layout: &Layout, y: f64, row: &Row, mark: &Mark) {
    let (x, middle) = (layout.x(mark.at), y + layout.inset + layout.bar / 2.0);
    let r = (layout.bar / 2.0 + 1.0).min(9.0);
    let class = if mark.fatal { "mark fatal" } else { "mark" };
    let mut title = format!("{}: {} failed: {}", row.node.name, mark.phase, mark.error);
    for line in &mark.tail {
        title.push('\n');
        title.push_str(line);
    }
    let _ = writeln!(
        svg,
        "<path d=\"M{x:.1} {:.1}l{r} {r}l-{r} {r}l-{r} -{r}z\" class=\"{class}\"><title>{}</title></path>",
        middle - r,
        escape_html(&title),
    );
    let is_last = row.marks.last() == Some(mark);
    if layout.spoken && is_last {
        let (tx, anchor) = match x > WIDTH * 0.6 {
            true => (x + r, "end"),
            false => (x - r, "start"),
        };
        let room = if anchor == "end" {
            tx - layout.left
        } else {
            WIDTH - tx - 8.0
        };
        let words = format!("{} failed: {}", mark.phase, mark.error);
        let _ = writeln!(
            svg,
            "<text x=\"{tx:.1}\" y=\"{:.1}\" class=\"failed\" text-anchor=\"{anchor}\">{}</text>",
            y + 43.0,
            escape_html(&truncate_to_width(&words, (room / LETTER) as usize)),
        );
    }
}

fn draw_ready(svg: &mut String, layout: &Layout, y: f64, row: &Row) {
    let Some(at) = row.ready_at else {
        return;
    };
    let is_there = row.steady_at.is_some();
    let at = row.steady_at.map_or(at, |steady| steady.max(at));
    let x = layout.x(at);
    let words = if is_there {
        "Ready"
    } else {
        "Ready, agent not steady"
    };
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" class=\"ready\"><title>{}: {words} after {}</title>✓{}</text>",
        x + 3.0,
        y + layout.inset + layout.bar * 0.5 + 4.2,
        escape_html(&row.node.name),
        short_span(at),
        if layout.spoken { " Ready" } else { "" },
    );
}

/// From the end of each wait to the row that held it up.
fn draw_links(svg: &mut String, layout: &Layout, story: &LaunchStory) {
    for (index, row) in story.rows.iter().enumerate() {
        for bar in &row.bars {
            let holders: &[String] = match &bar.on {
                Some(WaitsOn::Lease { holder, .. }) => std::slice::from_ref(holder),
                Some(WaitsOn::Nodes { names }) => names,
                _ => &[],
            };
            let rows = story.rows.iter().enumerate();
            for (other, holder) in rows.filter(|(_, r)| holders.contains(&r.node.name)) {
                if other != index {
                    let title = format!(
                        "{} waited {} for {}",
                        row.node.name,
                        short_span(bar.to - bar.from),
                        holder.node.name
                    );
                    draw_link(svg, layout, (index, other), bar.to, &title);
                }
            }
        }
    }
}

fn draw_link(svg: &mut String, layout: &Layout, (from, to): (usize, usize), at: u64, title: &str) {
    let x = layout.x(at) - 0.5;
    let (top, bottom) = (layout.inset, layout.inset + layout.bar);
    let (y1, y2) = match from > to {
        true => (layout.y(from) + top, layout.y(to) + bottom),
        false => (layout.y(from) + bottom, layout.y(to) + top),
    };
    let _ = writeln!(
        svg,
        "<g class=\"link\"><title>{}</title><line x1=\"{x:.1}\" y1=\"{y1:.1}\" x2=\"{x:.1}\" y2=\"{y2:.1}\"/>\
         <circle cx=\"{x:.1}\" cy=\"{y2:.1}\" r=\"2.5\"/></g>",
        escape_html(title)
    );
}
