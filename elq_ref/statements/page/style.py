"""How the page looks and what its one script does: readable on a phone, on paper, in light and in dark."""

STYLE = """
:root { --ink: #1d2126; --soft: #5a636e; --paper: #fff; --card: #f6f7f9; --line: #d5dae0; --good: #0b7a4b;
  --bad: #b3261e; --blue: #0072b2; --red: #d55e00; --band: #f2d98c; color-scheme: light dark }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --soft: #9aa4b0; --paper: #14171b; --card: #1c2026;
  --line: #353c45; --good: #4cc38a; --bad: #ff8a80; --blue: #56b4e9; --red: #ff9d57; --band: #6b5a1e } }
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto;
  max-width: 72rem; padding: 0 1rem 4rem; overflow-wrap: break-word }
h1 { margin: 1.6rem 0 .3rem; font-size: 1.7rem } h2 { margin: 2.6rem 0 .8rem; font-size: 1.25rem }
h3 { margin: 0; font-size: 1.02rem; line-height: 1.35 } p { margin: .4rem 0 } a { color: var(--blue) }
.soft, dt, figcaption, .axis { color: var(--soft) } .small { font-size: .86rem }
.good { color: var(--good) } .bad { color: var(--bad); font-weight: 600 }
nav { position: sticky; top: 0; background: var(--paper); padding: .6rem 0; border-bottom: 1px solid var(--line);
  z-index: 1; display: flex; gap: .4rem; overflow-x: auto; scrollbar-width: thin }
nav a, nav button { flex: none; font: inherit; font-size: .86rem; padding: .2rem .65rem; border-radius: 1rem;
  border: 1px solid var(--line); background: var(--card); color: var(--ink); text-decoration: none; cursor: pointer }
nav button[aria-pressed=true] { background: var(--ink); color: var(--paper) }
nav button, .js nav a { display: none } .js nav button { display: inline-block }
.cards { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 31rem), 1fr)) }
article { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .9rem 1rem;
  min-width: 0; scroll-margin-top: 4rem }
article.fails { border: 2px solid var(--bad) }
header { display: flex; justify-content: space-between; gap: .8rem; align-items: baseline }
.math { overflow-x: auto; margin: .5rem 0; padding: .2rem 0; line-height: 1.9 } math { font-size: 1.08rem }
math mtext { font-family: system-ui, sans-serif; font-size: .92em }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .1rem .8rem; margin: .5rem 0 0;
  font-size: .88rem } dd { margin: 0 } .number { font-variant-numeric: tabular-nums }
svg { display: block; width: 100%; height: auto; margin: .5rem 0 0 } svg text { fill: var(--soft); font-size: 13px }
figure { margin: .6rem 0 0 } figcaption { font-size: .82rem }
[hidden] { display: none !important }
@media print { :root { --ink: #000; --soft: #444; --paper: #fff; --card: #fff; --line: #999; --good: #055d37;
  --bad: #900; --blue: #00557f; --red: #a04600; --band: #eee0a8; color-scheme: light }
  nav { display: none } body { font-size: 10pt; max-width: none; padding: 0 } h2 { break-after: avoid }
  .cards { display: block; columns: 2; column-gap: .6rem } article { break-inside: avoid; margin-bottom: .6rem } }
"""

SCRIPT = """
document.documentElement.classList.add("js");
for (const button of document.querySelectorAll("nav button")) button.onclick = () => {
  const wanted = button.dataset.chapter;
  for (const other of document.querySelectorAll("nav button")) other.setAttribute("aria-pressed", other === button);
  for (const part of document.querySelectorAll("section[data-chapter]")) {
    for (const card of part.querySelectorAll("article"))
      card.hidden = wanted === "fails" && !card.classList.contains("fails");
    part.hidden = !(wanted === "all" || wanted === part.dataset.chapter
      || wanted === "fails" && part.querySelector(".fails"));
  }
};
"""
