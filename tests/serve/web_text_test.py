"""The page's Markdown and maths, in headless Chromium: what text becomes."""

import json
import re

from browser import Browser, skip_without_browser
from harness import Server, check, finish

MATHS = [  # TeX, MathML without its namespace
    ("x", "<mi>x</mi>"),
    ("x^2", "<msup><mi>x</mi><mn>2</mn></msup>"),
    ("a_{ij}", "<msub><mi>a</mi><mrow><mi>i</mi><mi>j</mi></mrow></msub>"),
    ("x_1^2", "<msubsup><mi>x</mi><mn>1</mn><mn>2</mn></msubsup>"),
    ("x^2_1", "<msubsup><mi>x</mi><mn>1</mn><mn>2</mn></msubsup>"),
    ("f''", "<msup><mi>f</mi><mrow><mo>′′</mo></mrow></msup>"),
    (r"\frac{1}{2}", "<mfrac><mrow><mn>1</mn></mrow><mrow><mn>2</mn></mrow></mfrac>"),
    (r"\frac12", "<mfrac><mn>1</mn><mn>2</mn></mfrac>"),
    ("x^10", "<mrow><msup><mi>x</mi><mn>1</mn></msup><mn>0</mn></mrow>"),
    (r"\sqrt2", "<msqrt><mn>2</mn></msqrt>"),
    (r"\sqrt[3]{x}", "<mroot><mrow><mi>x</mi></mrow><mrow><mn>3</mn></mrow></mroot>"),
    (r"\alpha\Omega", '<mrow><mi>α</mi><mi mathvariant="normal">Ω</mi></mrow>'),
    (r"a \le b", "<mrow><mi>a</mi><mo>≤</mo><mi>b</mi></mrow>"),
    (r"3.14-1", "<mrow><mn>3.14</mn><mo>−</mo><mn>1</mn></mrow>"),
    (r"\sum_{i=1}^n i", "<mrow><munderover><mo>∑</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow><mi>n</mi></munderover><mi>i</mi></mrow>"),
    (r"\int_0^1", "<msubsup><mo>∫</mo><mn>0</mn><mn>1</mn></msubsup>"),
    (r"\int\limits_0", "<munder><mo>∫</mo><mn>0</mn></munder>"),
    (r"\lim_{x\to0}", '<munder><mo movablelimits="true" form="prefix" lspace=".1667em" rspace=".1667em">lim</mo>'
     "<mrow><mi>x</mi><mo>→</mo><mn>0</mn></mrow></munder>"),
    (r"\sin x", '<mrow><mi mathvariant="normal">sin</mi><mspace width="0.1667em"></mspace><mi>x</mi></mrow>'),
    (r"\sin(x)", '<mrow><mi mathvariant="normal">sin</mi><mo stretchy="false">(</mo><mi>x</mi><mo stretchy="false">)</mo></mrow>'),
    (r"\left(\frac12\right]", '<mrow><mo fence="true" stretchy="true">(</mo><mfrac><mn>1</mn><mn>2</mn></mfrac>'
     '<mo fence="true" stretchy="true">]</mo></mrow>'),
    (r"\left.x\right|", '<mrow><mi>x</mi><mo fence="true" stretchy="true">|</mo></mrow>'),
    (r"\mathbb{R}^n", '<msup><mrow><mi mathvariant="normal">ℝ</mi></mrow><mi>n</mi></msup>'),
    (r"\mathrm{km}", '<mrow><mi class="upright" mathvariant="normal">km</mi></mrow>'),
    (r"\text{if } x", "<mrow><mtext>if&nbsp;</mtext><mi>x</mi></mrow>"),
    (r"\hat x", '<mover accent="true"><mi>x</mi><mo stretchy="false">^</mo></mover>'),
    (r"\underbrace{x}_{n}", '<munder><munder accentunder="true"><mrow><mi>x</mi></mrow><mo stretchy="true">⏟</mo></munder>'
     "<mrow><mi>n</mi></mrow></munder>"),
    (r"\begin{pmatrix}a&b\\c&d\end{pmatrix}", '<mrow><mo fence="true" stretchy="true">(</mo><mtable class="matrix">'
     "<mtr><mtd><mi>a</mi></mtd><mtd><mi>b</mi></mtd></mtr><mtr><mtd><mi>c</mi></mtd><mtd><mi>d</mi></mtd></mtr></mtable>"
     '<mo fence="true" stretchy="true">)</mo></mrow>'),
    (r"\begin{cases}1\\2\\\end{cases}", '<mrow><mo fence="true" stretchy="true">{</mo><mtable class="cases"><mtr><mtd>'
     "<mn>1</mn></mtd></mtr><mtr><mtd><mn>2</mn></mtd></mtr></mtable></mrow>"),
    (r"a\\b", '<mtable class="gathered" displaystyle="true"><mtr><mtd><mi>a</mi></mtd></mtr><mtr><mtd><mi>b</mi></mtd></mtr></mtable>'),
    (r"\unheard x", '<mrow><mtext class="unknown">\\unheard</mtext><mi>x</mi></mrow>'),
    (r"\not=", "<mo>=\u0338</mo>"),
    (r"\binom nk", '<mrow><mo fence="true" stretchy="true">(</mo><mfrac linethickness="0"><mi>n</mi><mi>k</mi></mfrac>'
     '<mo fence="true" stretchy="true">)</mo></mrow>'),
    (r"a \over b", "<mfrac><mrow><mi>a</mi></mrow><mrow><mi>b</mi></mrow></mfrac>"),
    (r"\{x\}", '<mrow><mo stretchy="false">{</mo><mi>x</mi><mo stretchy="false">}</mo></mrow>'),
    (r"|x|", '<mrow><mo stretchy="false">|</mo><mi>x</mi><mo stretchy="false">|</mo></mrow>'),
    (r"x<y", "<mrow><mi>x</mi><mo>&lt;</mo><mi>y</mi></mrow>"),
    (r"\text{<img src=x onerror=alert(1)>}", "<mtext>&lt;img&nbsp;src=x&nbsp;onerror=alert(1)&gt;</mtext>"),
]

NO_MATHS = ["{", "}", "x^", "x_", r"\frac{1}", r"\left(x", r"x\right)", r"\begin{matrix}a", r"\begin{zoo}a\end{zoo}",
            r"\end{matrix}", "a & b", r"\sqrt[3", r"\left x", r"\text{", "{" * 100 + "}" * 100, "x" * 30000,
            r"\begin{matrix}a\end{pmatrix}", "^^", r"\hat"]

MARKDOWN = [  # text, HTML where a formula is its TeX in [ ]
    ("costs $5 and $6", "<p>costs $5 and $6</p>"),
    ("between $5-$10, or $20", "<p>between $5-$10, or $20</p>"),
    ("I have $20, you have 30$.", "<p>I have $20, you have 30$.</p>"),
    ("$5/month", "<p>$5/month</p>"),
    ("$x$ and $y$", "<p>[x] and [y]</p>"),
    ("$2x+1$", "<p>[2x+1]</p>"),
    (r"\(a\) is", "<p>[a] is</p>"),
    ("$$a$$", "[[a]]"),
    ("so $$a$$ is", "<p>so [[a]] is</p>"),
    ("$$\na\n= b\n$$\nend", "[[a= b]]<p>end</p>"),
    ("\\[\n- a\n\\]", "[[- a]]"),
    ("text\n$$\n> b\n$$", "<p>text</p>[[> b]]"),
    ("$$a", "<p>$$a</p>"), ("$a", "<p>$a</p>"), (r"\(a", "<p>(a</p>"), ("\\[a\nb", "<p>[a\nb</p>"),  # streaming
    ("$\\frac{1$", "<p>$\\frac{1$</p>"),
    ("`$x$`", "<p><code>$x$</code></p>"),
    ("```\n$$x$$\n```", '<pre><code data-kind="">$$x$$</code></pre>'),
    ("$a_1$ and $b_1$", "<p>[a_1] and [b_1]</p>"),
    ("**$a*b$**", "<p><strong>[a*b]</strong></p>"),
    ("| a | b |\n|:-:|--:|\n| $|x|$ | `a|b` |", '<table><tr><th style="text-align: center;">a</th><th style="text-align: right;">b</th></tr>'
     '<tr><td style="text-align: center;">[|x|]</td><td style="text-align: right;"><code>a|b</code></td></tr></table>'),
    ("- a\n- b\n  1. c", '<ul><li><p>a</p></li><li><p>b</p><ol start="1"><li><p>c</p></li></ol></li></ul>'),
    ("<b>x</b> <script>1</script>", "<p>&lt;b&gt;x&lt;/b&gt; &lt;script&gt;1&lt;/script&gt;</p>"),
    ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
    ("![x](https://a.example/i.png)", '<p><a href="https://a.example/i.png" target="_blank" rel="noopener noreferrer nofollow">x</a></p>'),
    ('[x](https://a.example/"onclick=alert(1))', None),
    ("a_b_c __d__ ~~e~~", "<p>a_b_c <strong>d</strong> <del>e</del></p>"),
    ("# a #\n***\n> q", "<h2>a</h2><hr><blockquote><p>q</p></blockquote>"),
]

SET_UP = """(async () => {
  const {renderMaths} = await import('/maths.js');
  const {renderMarkdown} = await import('/markdown.js');
  window.tex = (text) => {
    try { return renderMaths(text, false).innerHTML.replaceAll(' xmlns="http://www.w3.org/1998/Math/MathML"', ''); }
    catch (error) { return `error: ${error.message}`; }
  };
  window.markdown = (text) => {
    const e = document.createElement('div');
    renderMarkdown(e, text);
    for (const m of e.querySelectorAll('.maths')) {
      if (m.querySelector('math')) m.replaceWith(m.classList.contains('display') ? `[[${m.textContent}]]` : `[${m.textContent}]`);
      else m.replaceWith(m.textContent);
    }
    e.normalize();
    return e;
  };
})()"""


def plain(text):
    """What a formula's text content is, roughly: without what MathML writes otherwise."""
    return re.sub(r"[\s_]", "", text.replace("−", "-").replace("∗", "*"))


def main():
    skip_without_browser()
    with Server() as server, Browser() as browser:
        browser.open(server.url)
        browser.js(SET_UP)
        for tex, expected in MATHS:
            got = browser.js(f"tex({json.dumps(tex)})")
            check(got == expected, f"{tex}\n  {got}\n  {expected}")
        for tex in NO_MATHS:
            got = browser.js(f"tex({json.dumps(tex)})")
            check(got.startswith("error: "), f"{tex[:50]}: {got[:200]}")
        for text, expected in MARKDOWN:
            got = browser.js(f"markdown({json.dumps(text)}).innerHTML")
            if expected is not None:
                same = plain(got) == plain(expected.replace("> b]]", "&gt; b]]"))
                check(same, f"{text!r}\n  {got}\n  {expected}")
        # Whatever the text, no element but these, and no attribute that runs anything.
        attack = "\n\n".join(text for text, _ in MARKDOWN) + "".join(f"\n$${t}$$\n${t}$" for t, _ in MATHS)
        attack += "<svg onload=1> ![](data:x) [a](vbscript:x) <a href='javascript:1'>"
        bad = browser.js(f"""(() => {{ const e = document.createElement('div'); const text = {json.dumps(attack)};
            for (let n = 0; n <= text.length; n += 7) markdown(text.slice(0, n));
            e.append(markdown(text));
            return [...e.querySelectorAll('*')].filter((x) => /^(script|img|iframe|svg|style|object|form|input)$/i.test(x.localName) ||
              [...x.attributes].some((a) => /^on/i.test(a.name) || (a.name === 'href' && !/^(https?|mailto):/.test(a.value)))).length; }})()""")
        check(bad == 0, f"{bad} elements that no answer may bring")
        seconds = browser.js("""(() => { const t = performance.now(); const text = 'A **bold** word, $x^2$ and `code`. '.repeat(2000);
            markdown(text); markdown('$'.repeat(20000)); markdown('**'.repeat(8000)); markdown('\\\\('.repeat(8000)); markdown('[('.repeat(8000));
            return (performance.now() - t) / 1000; })()""")
        check(seconds < 5, f"long texts take {seconds:.1f} s")
        check(not browser.errors, f"{browser.errors}")
    finish(f"{len(MATHS)} formulas, {len(NO_MATHS)} that are none, {len(MARKDOWN)} texts; long ones in {seconds:.2f} s")


main()
