"""The report in a real browser: it obeys its own policy, runs nothing that the data brings, and fits a phone."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.audit_fixture import audited, healthy
from tests.unit.report_fixture import full_run, poison
from tunesmith.report.audit import render_audit
from tunesmith.report.render import render

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here; Debian's package is called chromium")

PAYLOAD = (
    "</style></title><script>document.title='pwned'</script>"
    "\"'><img src=x onerror=\"document.title='pwned'\"><svg onload=\"document.title='pwned'\">"
)


def browse(tmp_path: Path, html: str, *options: str) -> tuple[str, str]:
    """(the page's elements after it was loaded, what the browser's console said)."""
    page = tmp_path / "page.html"
    page.write_text(html, "utf-8")
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr",
        f"--user-data-dir={tmp_path / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND", *options, page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, done.stderr


def title(dom: str) -> str:
    found = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)
    assert found
    return found[1]


def measured(html: str, script: str) -> str:
    """The page without its policy and with a script of ours that writes what it finds into the title."""
    free = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
    return free.replace("</body>", f"<script>document.title = {script}</script></body>")


def test_hostile_data_runs_nothing_and_breaks_no_policy(tmp_path: Path) -> None:
    run = full_run(tmp_path, right=0.9)
    poison(run, PAYLOAD)
    dom, console = browse(tmp_path, render(run), "--dump-dom")
    assert "pwned" not in title(dom)
    assert "Content Security Policy" not in console
    # Without the policy too: escaping alone must hold.
    dom, _ = browse(tmp_path, measured(render(run), "document.title"), "--dump-dom")
    assert "pwned" not in title(dom)


def test_the_browser_holds_the_page_to_its_policy(tmp_path: Path) -> None:
    """That the test above can fail: a page whose sheet is not the one its policy names, with a script in it."""
    broken = render(full_run(tmp_path)).replace("--paper: #fdfdfc", "--paper: #fdfdfb")
    broken = broken.replace("</main>", "<script>document.title='pwned'</script></main>")
    dom, console = browse(tmp_path, broken, "--dump-dom")
    assert "pwned" not in title(dom)
    assert console.count("Content Security Policy") >= 2


@pytest.mark.parametrize("width", [500, 820, 1280])
@pytest.mark.parametrize("labels", [8, 77])
def test_nothing_but_tables_and_maps_scrolls_sideways(tmp_path: Path, width: int, labels: int) -> None:
    names = tuple(f"a_rather_long_name_of_an_intent_{number:02d}" for number in range(labels))
    html = render(full_run(tmp_path, labels=names, num_rows=400))
    script = "document.documentElement.scrollWidth + ' of ' + window.innerWidth"
    dom, _ = browse(tmp_path, measured(html, script), "--dump-dom", f"--window-size={width},900")
    content, window = map(int, title(dom).split(" of "))
    assert content <= window


def test_text_of_drawings_can_be_read_on_a_phone(tmp_path: Path) -> None:
    """No letter of a chart comes out smaller than 9 pixels; maps scroll instead of shrinking."""
    html = render(full_run(tmp_path))
    script = (
        "Math.min(...[...document.querySelectorAll('svg.chart text')]"
        ".map(t => 12 * t.ownerSVGElement.getBoundingClientRect().width / t.ownerSVGElement.viewBox.baseVal.width))"
    )
    dom, _ = browse(tmp_path, measured(html, script), "--dump-dom", "--window-size=500,900")
    assert float(title(dom)) >= 9


def test_it_prints_to_pages(tmp_path: Path) -> None:
    pdf = tmp_path / "report.pdf"
    browse(tmp_path, render(full_run(tmp_path)), f"--print-to-pdf={pdf}", "--no-pdf-header-footer")
    pages = len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes()))
    assert 3 <= pages <= 15


def audit_page() -> str:
    """The page of an audit with long names and a giant row."""
    rows = [replace(row, slices={"channel": row.slices["channel"] * 12}) for row in healthy(300)]
    rows[9] = replace(rows[9], text=" ".join(row.text or "" for row in rows) + "x" * 400)
    return render_audit(audited(rows, reported=["channel"]))


@pytest.mark.parametrize("width", [500, 1280])
def test_an_audit_obeys_the_policy_and_fits_a_phone(tmp_path: Path, width: int) -> None:
    html = audit_page()
    _, console = browse(tmp_path, html, "--dump-dom")
    assert "Content Security Policy" not in console
    script = "document.documentElement.scrollWidth + ' of ' + window.innerWidth"
    dom, _ = browse(tmp_path, measured(html, script), "--dump-dom", f"--window-size={width},900")
    content, window = map(int, title(dom).split(" of "))
    assert content <= window
