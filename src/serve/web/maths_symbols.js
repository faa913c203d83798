// What the commands of TeX's mathematics stand for.

const table = (text) => {
  const words = text.trim().split(/\s+/);
  const map = new Map();
  for (let i = 0; i < words.length; i += 2) map.set(words[i], words[i + 1]);
  return map;
};

// Letters and other things that are read like one.
export const letters = table(`
  alpha α beta β gamma γ delta δ epsilon ϵ varepsilon ε zeta ζ eta η theta θ vartheta ϑ iota ι kappa κ
  varkappa ϰ lambda λ mu μ nu ν xi ξ omicron ο pi π varpi ϖ rho ρ varrho ϱ sigma σ varsigma ς tau τ
  upsilon υ phi ϕ varphi φ chi χ psi ψ omega ω
  Gamma Γ Delta Δ Theta Θ Lambda Λ Xi Ξ Pi Π Sigma Σ Upsilon Υ Phi Φ Psi Ψ Omega Ω
  infty ∞ partial ∂ nabla ∇ hbar ℏ hslash ℏ ell ℓ Re ℜ Im ℑ wp ℘ aleph ℵ beth ℶ gimel ℷ imath ı jmath ȷ
  emptyset ∅ varnothing ∅ forall ∀ exists ∃ nexists ∄ top ⊤ bot ⊥ angle ∠ measuredangle ∡ triangle △
  square □ Box □ blacksquare ■ diamond ⋄ Diamond ◇ lozenge ◊ bigstar ★ spadesuit ♠ heartsuit ♡
  diamondsuit ♢ clubsuit ♣ flat ♭ natural ♮ sharp ♯ checkmark ✓ dag † ddag ‡ S § P ¶ pounds £ yen ¥
  euro € copyright © degree ° complement ∁ eth ð mho ℧ surd √ backslash \\ prime ′ backprime ‵ aa å AA Å
  ae æ AE Æ oe œ OE Œ o ø O Ø ss ß R ℝ N ℕ Z ℤ Q ℚ C ℂ`);

export const operators = table(`
  pm ± mp ∓ times × div ÷ cdot ⋅ centerdot ⋅ ast ∗ star ⋆ circ ∘ bullet ∙ oplus ⊕ ominus ⊖ otimes ⊗
  oslash ⊘ odot ⊙ dagger † ddagger ‡ amalg ⨿ cap ∩ cup ∪ uplus ⊎ sqcap ⊓ sqcup ⊔ vee ∨ lor ∨ wedge ∧
  land ∧ setminus ∖ smallsetminus ∖ wr ≀ bigcirc ◯ triangleleft ◃ triangleright ▹ neg ¬ lnot ¬
  ltimes ⋉ rtimes ⋊ boxplus ⊞ boxminus ⊟ boxtimes ⊠ boxdot ⊡ barwedge ⊼ veebar ⊻ intercal ⊺
  le ≤ leq ≤ leqslant ⩽ ge ≥ geq ≥ geqslant ⩾ ne ≠ neq ≠ ll ≪ gg ≫ lll ⋘ ggg ⋙ equiv ≡ sim ∼ simeq ≃
  approx ≈ approxeq ≊ cong ≅ propto ∝ varpropto ∝ doteq ≐ coloneqq ≔ eqqcolon ≕ triangleq ≜ asymp ≍
  prec ≺ succ ≻ preceq ⪯ succeq ⪰ lesssim ≲ gtrsim ≳ lessgtr ≶ nless ≮ ngtr ≯ nleq ≰ ngeq ≱
  in ∈ ni ∋ notin ∉ subset ⊂ supset ⊃ subseteq ⊆ supseteq ⊇ subsetneq ⊊ supsetneq ⊋ nsubseteq ⊈
  nsupseteq ⊉ sqsubset ⊏ sqsupset ⊐ sqsubseteq ⊑ sqsupseteq ⊒ mid ∣ nmid ∤ parallel ∥ nparallel ∦
  perp ⊥ vdash ⊢ dashv ⊣ models ⊨ vDash ⊨ Vdash ⊩ nvdash ⊬ nvDash ⊭ bowtie ⋈ smile ⌣ frown ⌢ therefore ∴
  because ∵ between ≬ trianglelefteq ⊴ trianglerighteq ⊵ lhd ⊲ rhd ⊳ unlhd ⊴ unrhd ⊵
  to → gets ← rightarrow → leftarrow ← leftrightarrow ↔ Rightarrow ⇒ Leftarrow ⇐ Leftrightarrow ⇔
  implies ⟹ impliedby ⟸ iff ⟺ longrightarrow ⟶ longleftarrow ⟵ longleftrightarrow ⟷ Longrightarrow ⟹
  Longleftarrow ⟸ Longleftrightarrow ⟺ mapsto ↦ longmapsto ⟼ uparrow ↑ downarrow ↓ updownarrow ↕
  Uparrow ⇑ Downarrow ⇓ Updownarrow ⇕ nearrow ↗ searrow ↘ swarrow ↙ nwarrow ↖ hookrightarrow ↪
  hookleftarrow ↩ rightharpoonup ⇀ rightharpoondown ⇁ leftharpoonup ↼ leftharpoondown ↽
  rightleftharpoons ⇌ leftrightharpoons ⇋ rightleftarrows ⇄ leftrightarrows ⇆ rightrightarrows ⇉
  twoheadrightarrow ↠ rightarrowtail ↣ rightsquigarrow ⇝ leadsto ⇝ nrightarrow ↛ nleftarrow ↚
  nRightarrow ⇏ nLeftarrow ⇍ circlearrowright ↻ circlearrowleft ↺ curvearrowright ↷
  ldots … dots … dotsc … dotso … cdots ⋯ dotsb ⋯ dotsm ⋯ dotsi ⋯ vdots ⋮ ddots ⋱ colon : vert | Vert ‖
  lvert | rvert | lVert ‖ rVert ‖ | ‖ langle ⟨ rangle ⟩ lceil ⌈ rceil ⌉ lfloor ⌊ rfloor ⌋ lbrace { rbrace }
  lbrack [ rbrack ] ulcorner ⌜ urcorner ⌝ { { } } % % # # & & _ _ $ $`);

// Operators with what stands above and below them in display style.
export const bigOperators = table(`
  sum ∑ prod ∏ coprod ∐ bigcup ⋃ bigcap ⋂ bigvee ⋁ bigwedge ⋀ bigoplus ⨁ bigotimes ⨂ bigodot ⨀
  biguplus ⨄ bigsqcup ⨆`);
export const integrals = table('int ∫ iint ∬ iiint ∭ oint ∮ oiint ∯ smallint ∫');

const names = (text) => new Set(text.split(' '));
export const functions = names('arccos arcsin arctan arg cos cosh cot coth csc deg dim exp hom ker lg ln ' +
  'log sec sin sinh tan tanh sgn');
export const limitFunctions = names('det gcd inf lim liminf limsup max min Pr sup injlim projlim argmax argmin');

export const delimiters = table(`
  ( ( ) ) [ [ ] ] / / | | < ⟨ > ⟩ lbrace { rbrace } { { } } lbrack [ rbrack ] langle ⟨ rangle ⟩
  lceil ⌈ rceil ⌉ lfloor ⌊ rfloor ⌋ vert | lvert | rvert | Vert ‖ lVert ‖ rVert ‖ uparrow ↑ downarrow ↓
  updownarrow ↕ Uparrow ⇑ Downarrow ⇓ backslash \\ ulcorner ⌜ urcorner ⌝ lgroup ⟮ rgroup ⟯`)
  .set('\\|', '‖').set('.', '');

// Sign, whether it lies below, whether it stretches.
export const accents = new Map([
  ['hat', ['^']], ['bar', ['¯']], ['tilde', ['~']], ['vec', ['→']], ['dot', ['˙']], ['ddot', ['¨']],
  ['dddot', ['⃛']], ['check', ['ˇ']], ['breve', ['˘']], ['acute', ['´']], ['grave', ['`']],
  ['mathring', ['˚']], ['widehat', ['^', false, true]], ['widetilde', ['~', false, true]],
  ['overline', ['‾', false, true]], ['underline', ['_', true, true]],
  ['overbrace', ['⏞', false, true]], ['underbrace', ['⏟', true, true]],
  ['overrightarrow', ['→', false, true]], ['overleftarrow', ['←', false, true]],
  ['overleftrightarrow', ['↔', false, true]], ['underrightarrow', ['→', true, true]],
]);

// In em.
export const spaces = new Map([
  [',', 0.1667], [':', 0.2222], ['>', 0.2222], [';', 0.2778], ['!', -0.1667], [' ', 0.25],
  ['quad', 1], ['qquad', 2], ['enspace', 0.5], ['thinspace', 0.1667], ['medspace', 0.2222],
  ['thickspace', 0.2778], ['negthinspace', -0.1667],
]);

// Of \big and its kin, in em.
export const sizes = new Map([['big', 1.2], ['Big', 1.8], ['bigg', 2.4], ['Bigg', 3]]);

// Alphabets: where A, a and 0 are in Unicode, and the letters that are elsewhere.
const alphabets = {
  bb: [0x1D538, 0x1D552, 0x1D7D8, 'CℂHℍNℕPℙQℚRℝZℤ'],
  cal: [0x1D49C, 0x1D4B6, 0, 'BℬEℰFℱHℋIℐLℒMℳRℛeℯgℊoℴ'],
  frak: [0x1D504, 0x1D51E, 0, 'CℭHℌIℑRℜZℨ'],
};

// The letter in an alphabet; itself where that has none.
export function inAlphabet(letter, name) {
  const [capital, small, digit, exceptions] = alphabets[name];
  const i = exceptions.indexOf(letter);
  if (i >= 0) return exceptions[i + 1];
  for (const [first, last, base] of [['A', 'Z', capital], ['a', 'z', small], ['0', '9', digit]]) {
    if (base && letter >= first && letter <= last) {
      return String.fromCodePoint(base + letter.charCodeAt(0) - first.charCodeAt(0));
    }
  }
  return letter;
}

// Commands for a style of letters: an alphabet, or a class of the style sheet.
export const styles = new Map([
  ['mathbb', 'bb'], ['mathcal', 'cal'], ['mathscr', 'cal'], ['mathfrak', 'frak'], ['mathbf', 'bold'],
  ['boldsymbol', 'bold-italic'], ['bm', 'bold-italic'], ['mathrm', 'upright'], ['mathit', 'italic'],
  ['mathnormal', 'italic'], ['mathsf', 'sans'], ['mathtt', 'mono'], ['Bbb', 'bb'], ['rm', 'upright'], ['bf', 'bold'],
]);
