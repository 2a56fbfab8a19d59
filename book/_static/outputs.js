// Figures get a box of their own, which scrolls on a narrow screen and can then be reached with the keyboard.
addEventListener("DOMContentLoaded", () => {
  const boxes = [...document.querySelectorAll(".cell_output > img")].map((image) => {
    const box = document.createElement("div");
    box.className = "mtl-figure";
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", "Figure");
    image.replaceWith(box);
    box.append(image);
    return box;
  });
  // Observed, since a figure in a fold gets its size when the fold is opened.
  const watch = new ResizeObserver((entries) => {
    for (const { target } of entries) target.tabIndex = target.scrollWidth > target.clientWidth ? 0 : -1;
  });
  for (const box of boxes) watch.observe(box);
});

// Paper is white: a page in dark colours prints in light ones.
let theme;
addEventListener("beforeprint", () => {
  theme ??= document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
});
addEventListener("afterprint", () => {
  document.documentElement.dataset.theme = theme;
  theme = undefined;
});
