//! Writes one page per built-in platform: `cargo run -p watchfire-config --example platform_pages -- docs/platforms`.

mod keys;
mod page;
mod rules;
mod table;

use std::path::Path;
use watchfire_config::{load_platform, platform_names};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args().nth(1).ok_or("name the directory to write to: platform_pages docs/platforms")?;
    for name in platform_names() {
        let platform = load_platform(name).map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
        let path = Path::new(&directory).join(format!("{name}.md"));
        std::fs::write(&path, page::page(&platform)?).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}
