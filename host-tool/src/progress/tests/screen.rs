//! A terminal that keeps what stands on it: lines of a fixed width that wrap, as indicatif relies on.

use std::io::Result;
use std::sync::{Arc, Mutex};

use indicatif::TermLike;

use super::super::Printer;

/// No line of these tests is longer.
pub const WIDTH: usize = 140;
const HEIGHT: u16 = 50;

#[derive(Debug, Clone, Default)]
pub struct Screen(Arc<Mutex<Cells>>);

#[derive(Debug, Default)]
struct Cells {
    lines: Vec<String>,
    row: usize,
    column: usize,
}

impl Cells {
    fn put(&mut self, c: char) {
        match c {
            '\r' => self.column = 0,
            '\n' => (self.row, self.column) = (self.row + 1, 0),
            c => {
                // Only what comes after a full line goes to the next.
                if self.column == WIDTH {
                    (self.row, self.column) = (self.row + 1, 0);
                }
                let row = self.row;
                self.lines
                    .resize(self.lines.len().max(row + 1), String::new());
                let mut cells: Vec<char> = self.lines[row].chars().collect();
                cells.resize(cells.len().max(self.column + 1), ' ');
                cells[self.column] = c;
                self.lines[row] = cells.into_iter().collect();
                self.column += 1;
            }
        }
    }
}

impl Screen {
    /// What a person sees.
    pub fn text(&self) -> String {
        let cells = self.0.lock().unwrap();
        let lines: Vec<&str> = cells.lines.iter().map(|line| line.trim_end()).collect();
        lines.join("\n").trim_end().to_owned()
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        WIDTH as u16
    }
    fn height(&self) -> u16 {
        HEIGHT
    }
    fn move_cursor_up(&self, n: usize) -> Result<()> {
        let mut cells = self.0.lock().unwrap();
        cells.row = cells.row.saturating_sub(n);
        Ok(())
    }
    fn move_cursor_down(&self, n: usize) -> Result<()> {
        self.0.lock().unwrap().row += n;
        Ok(())
    }
    fn move_cursor_right(&self, n: usize) -> Result<()> {
        self.0.lock().unwrap().column += n;
        Ok(())
    }
    fn move_cursor_left(&self, n: usize) -> Result<()> {
        let mut cells = self.0.lock().unwrap();
        cells.column = cells.column.saturating_sub(n);
        Ok(())
    }
    fn write_line(&self, s: &str) -> Result<()> {
        self.write_str(s)?;
        self.write_str("\n")
    }
    fn write_str(&self, s: &str) -> Result<()> {
        let mut cells = self.0.lock().unwrap();
        for c in super::without_colours(s).chars() {
            cells.put(c);
        }
        Ok(())
    }
    fn clear_line(&self) -> Result<()> {
        let mut cells = self.0.lock().unwrap();
        let row = cells.row;
        if let Some(line) = cells.lines.get_mut(row) {
            line.clear();
        }
        cells.column = 0;
        Ok(())
    }
    fn flush(&self) -> Result<()> {
        Ok(())
    }
}

/// Both streams of a program end on its terminal.
impl Printer for Screen {
    fn print(&self, line: &str) {
        self.write_line(line).unwrap();
    }
    fn print_error(&self, line: &str) {
        self.print(line);
    }
}
