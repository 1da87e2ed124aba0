// The number of texts of cells that are seen, and all texts outside the screen or outside a box that hides or scrolls
// what is outside.
() => {
  const clipped = [], near = 1.5, texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let measured = 0;
  for (let node; (node = texts.nextNode()); ) {
    const own = node.parentElement;
    if (!node.data.trim() || !own.checkVisibility({visibilityProperty: true}) || own.matches(".skip, option")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) {
      if (box.width && own.closest("td, th")) measured += 1;
      let cut = box.left < -near || box.right > innerWidth + near;
      for (let part = own; part !== document.body; part = part.parentElement) {
        const shows = getComputedStyle(part).overflow === "visible" && !part.matches("td, th");
        const rim = part.getBoundingClientRect();
        cut ||= !shows && !(part instanceof SVGElement) && (box.left < rim.left - near || box.right > rim.right + near);
      }
      if (cut && box.width) clipped.push(node.data.trim().slice(0, 60));
    }
  }
  return [measured, [...new Set(clipped)]];
}
