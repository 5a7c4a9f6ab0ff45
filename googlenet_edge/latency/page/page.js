"use strict";
(() => {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : system.matches;
  const show = () => { button.textContent = isDark() ? "Light" : "Dark"; };
  button.hidden = false;
  button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; show(); });
  system.addEventListener("change", show);
  show();

  for (const canvas of document.querySelectorAll(".canvas")) {
    const data = canvas.querySelector("script[type='application/json']");
    if (data) follow(canvas, JSON.parse(data.textContent));
  }

  function follow(canvas, points) {
    const tip = document.createElement("div");
    tip.className = "tip";
    tip.hidden = true;
    canvas.append(tip);
    for (const svg of canvas.querySelectorAll("svg.plot")) {
      const axis = svg.querySelector(".axis");
      const left = +axis.getAttribute("x1"), right = +axis.getAttribute("x2"), bottom = +axis.getAttribute("y1");
      const top = +svg.dataset.top;
      const cross = document.createElementNS("http://www.w3.org/2000/svg", "line");
      cross.setAttribute("class", "cross");
      cross.setAttribute("y1", top);
      cross.setAttribute("y2", bottom);
      cross.style.display = "none";
      svg.append(cross);
      svg.addEventListener("pointermove", (event) => {
        const box = svg.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width;
        const x = (event.clientX - box.left) / scale, y = (event.clientY - box.top) / scale;
        const point = nearest(points, (x - left) / (right - left), (bottom - y) / (bottom - top));
        if (!point) return;
        const px = left + point[0] * (right - left), py = bottom - point[1] * (bottom - top);
        cross.setAttribute("x1", px);
        cross.setAttribute("x2", px);
        cross.style.display = "";
        tip.textContent = point[2];
        tip.hidden = false;
        const room = canvas.clientWidth - tip.offsetWidth;
        tip.style.left = Math.max(0, Math.min(room, px * scale - tip.offsetWidth / 2)) + "px";
        tip.style.top = Math.max(0, py * scale - tip.offsetHeight - 12) + "px";
      });
      svg.addEventListener("pointerleave", () => { tip.hidden = true; cross.style.display = "none"; });
    }
  }

  function nearest(points, x, y) {
    let best = null, least = Infinity;
    for (const point of points) {
      const distance = 9 * (point[0] - x) ** 2 + (point[1] - y) ** 2;
      if (distance < least) { least = distance; best = point; }
    }
    return best;
  }
})();
