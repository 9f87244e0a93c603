(() => {
  "use strict";
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const dark = () => root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  button.hidden = false;
  button.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; });

  const charts = [...document.querySelectorAll("[data-chart]")];
  const options = { displayModeBar: false, responsive: true, showTips: false };
  const draw = async (place) => {
    const { data, layout } = JSON.parse(document.getElementById(place.dataset.chart).textContent);
    await Plotly.newPlot(place, data, layout, options);
  };
  for (const place of charts) {
    draw(place).catch((error) => {
      place.textContent = `This chart could not be drawn (${error}); its numbers are below.`;
    });
  }
  addEventListener("beforeprint", () => {
    for (const place of charts) Plotly.relayout(place, { width: 680, autosize: false });
  });
  addEventListener("afterprint", () => {
    for (const place of charts) Plotly.relayout(place, { width: null, autosize: true });
  });
})();
