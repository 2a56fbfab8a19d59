// Outputs of cells that scroll sideways can be reached with the keyboard; the theme sees to code and tables alone.
function reach() {
  for (const output of document.querySelectorAll(".cell_output:has(> img)")) {
    if (output.scrollWidth > output.clientWidth) output.tabIndex = 0;
    else output.removeAttribute("tabindex");
  }
}
addEventListener("load", reach);
addEventListener("resize", reach);
