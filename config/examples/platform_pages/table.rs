//! Markdown tables that drop columns in which no row says anything.

/// Rows of cells under a head.
pub struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(head: &[&'static str]) -> Self {
        Table { head: head.to_vec(), rows: Vec::new() }
    }

    pub fn row(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.head.len(), "a cell for each column");
        self.rows.push(cells.iter().map(|c| c.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")).collect());
    }

    /// A section with this table, or nothing where the table has no rows.
    pub fn section(&self, title: &str) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let used: Vec<usize> = (0..self.head.len()).filter(|c| self.rows.iter().any(|r| !r[*c].is_empty())).collect();
        let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
        let mut out = format!("\n## {title}\n\n");
        out += &line(used.iter().map(|c| self.head[*c]).collect());
        out += &line(used.iter().map(|_| "---").collect());
        for row in &self.rows {
            out += &line(used.iter().map(|c| row[*c].as_str()).collect());
        }
        out
    }
}
