// Figures get a box of their own, which scrolls on a narrow screen and can then be reached with the keyboard.
addEventListener("DOMContentLoaded", () => {
  const boxes = [...document.querySelectorAll(".cell_output > img")].map((image) => {
    const box = document.createElement("div");
    box.className = "mtl-figure";
    image.replaceWith(box);
    box.append(image);
    return box;
  });
  const reach = () => {
    for (const box of boxes) box.tabIndex = box.scrollWidth > box.clientWidth ? 0 : -1;
  };
  addEventListener("load", reach);
  addEventListener("resize", reach);
});
