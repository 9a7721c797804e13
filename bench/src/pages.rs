//! Huge pages of 2 MB for the time of a run.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result, ensure};

/// Pages reserved beyond what there were; given back on drop.
#[derive(Debug)]
pub struct HugePages {
    added: u64,
}

fn file(name: &str) -> PathBuf {
    PathBuf::from("/sys/kernel/mm/hugepages/hugepages-2048kB").join(name)
}

fn count(name: &str) -> Result<u64> {
    let path = file(name);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.trim().parse()?)
}

impl HugePages {
    /// Sees to it that `wanted` pages are free.
    ///
    /// # Errors
    /// When the kernel has not that many, or this is not root.
    pub fn reserve(wanted: u64) -> Result<Self> {
        let before = count("nr_hugepages")?;
        let missing = wanted.saturating_sub(count("free_hugepages")?);
        let mut pages = Self { added: 0 };
        if missing > 0 {
            fs::write(file("nr_hugepages"), (before + missing).to_string())
                .context("cannot reserve huge pages (are you root?)")?;
            pages.added = count("nr_hugepages")?.saturating_sub(before);
        }
        let free = count("free_hugepages")?;
        ensure!(free >= wanted, "{wanted} huge pages of 2 MB are needed, the kernel has {free} free");
        Ok(pages)
    }
}

/// Runs this very command in a child whose heap, like the flow tables, lies on huge pages where it is large: on `wanted`
/// reserved ones if they can be had, else on transparent ones. `None` in that child, which has work to do.
///
/// # Errors
/// When it cannot be started.
pub fn in_child_on_huge_pages(wanted: u64) -> Result<Option<ExitStatus>> {
    const VARIABLE: &str = "GLIBC_TUNABLES";
    if std::env::var_os(VARIABLE).is_some() {
        return Ok(None);
    }
    let reserved = HugePages::reserve(wanted);
    if let Err(error) = &reserved {
        eprintln!("no reserved huge pages, transparent ones instead: {error:#}");
    }
    let kind = if reserved.is_ok() { 2 } else { 1 };
    let status = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(VARIABLE, format!("glibc.malloc.hugetlb={kind}"))
        .status()
        .context("cannot start the child")?;
    Ok(Some(status))
}

impl Drop for HugePages {
    fn drop(&mut self) {
        if self.added > 0
            && let Ok(total) = count("nr_hugepages")
        {
            // What cannot be given back stays for the next run to use.
            let _ = fs::write(file("nr_hugepages"), total.saturating_sub(self.added).to_string());
        }
    }
}
