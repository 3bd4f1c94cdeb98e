/// How a page looks. Colours are those that people who see few still tell apart, and never the only sign.
enum PageStyle {
    static let page = Markup.style(pageSheet, chartSheet, printSheet)

    /// Of a picture that stands alone.
    static let picture = Markup.style(pictureSheet, chartSheet)

    private static let pageSheet: StaticString = """

        :root { color-scheme: light dark; --ground: #ffffff; --ink: #1a1d21; --soft: #555d66; --rule: #d5dae0; --faint: #f4f6f8;
          --bar: #2f6fa8; --reference: #7b858f; --link: #0b5394; --shade: rgb(0 0 0 / 0.2);
          --s0: #0060a8; --s1: #b34700; --s2: #00735c; --s3: #8a3d82; --s4: #7a5c00; --s5: #3d4f5d; }
        @media (prefers-color-scheme: dark) { :root { --ground: #15181c; --ink: #e8eaed; --soft: #aab2bb; --rule: #3a4149;
          --faint: #1e2227; --bar: #6fb0e8; --reference: #98a2ac; --link: #8ec5ff; --shade: rgb(255 255 255 / 0.18);
          --s0: #6fb6f2; --s1: #ff9e5e; --s2: #4fcfae; --s3: #dd9ad6; --s4: #e2c04c; --s5: #b4c2cc; } }
        * { box-sizing: border-box; }
        html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
        body { margin: 0 auto; max-width: 1248px; padding: 0 16px 64px; background: var(--ground); color: var(--ink);
          font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif;
          overflow-wrap: anywhere; }
        @media (min-width: 760px) { body { padding: 0 24px 96px; } }
        @media (max-width: 759px) { th:first-child { max-width: 10.5em; overflow-wrap: break-word; box-shadow: 1px 0 var(--rule); }
          th:first-child, td { padding-right: 12px; } th:nth-child(2), td:nth-child(2) { padding-left: 8px; } }
        a { color: var(--link); }
        :focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
        .skip { position: absolute; left: 8px; top: -60px; padding: 8px 12px; background: var(--ground); z-index: 1; }
        .skip:focus { top: 8px; }
        header { padding-top: 40px; }
        .name { margin: 0; color: var(--soft); font-size: 14px; }
        h1 { margin: 4px 0 20px; font-size: 20px; line-height: 1.3; font-weight: 600; }
        h2 { margin: 64px 0 8px; padding-top: 16px; border-top: 1px solid var(--rule); font-size: 22px; line-height: 1.3; font-weight: 600; }
        h3 { margin: 32px 0 4px; font-size: 17px; font-weight: 600; }
        p { margin: 8px 0; max-width: 42em; }
        .answer { margin: 0 0 8px; font-size: clamp(21px, 3.4vw, 28px); line-height: 1.35; font-weight: 600; max-width: 33em; text-wrap: pretty; }
        .further { margin: 16px 0 8px; font-size: 18px; line-height: 1.45; }
        .basis, .how, .note { color: var(--soft); }
        .basis { font-size: 14px; }
        dl.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(140px, 1fr)); gap: 16px 20px; margin: 28px 0 0; padding: 0; max-width: 940px; }
        dl.facts dt { color: var(--soft); font-size: 13px; line-height: 1.3; }
        dl.facts dd { margin: 2px 0 0; font-size: 18px; line-height: 1.3; font-variant-numeric: tabular-nums; }
        nav { margin: 32px 0 0; font-size: 15px; }
        nav ul { display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 0; padding: 0; list-style: none; }
        nav a { display: inline-block; padding: 4px 0; }
        ul.notes { margin: 12px 0; padding-left: 20px; max-width: 46em; }
        ul.notes li { margin: 4px 0; }
        figure { margin: 28px 0 36px; }
        figcaption { margin-bottom: 14px; }
        figcaption strong { display: inline; font-size: 17px; font-weight: 600; }
        .how { display: block; font-size: 14px; max-width: 46em; }
        .table { margin: 20px 0; }
        h3 + .table { margin-top: 8px; }
        .caption { margin: 0 0 6px; max-width: 50em; color: var(--soft); font-size: 14px; }
        caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
        .scroll { position: relative; overflow-x: auto; scrollbar-width: thin; scrollbar-color: var(--reference) transparent;
          background: linear-gradient(to left, var(--ground) 50%, transparent) right / 32px calc(100% + 4px) no-repeat local,
            linear-gradient(to left, var(--shade), transparent) right / 14px 100% no-repeat scroll; }
        table { border-collapse: separate; border-spacing: 0; font-size: 14px; line-height: 1.35; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
        th, td { padding: 6px 16px 6px 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--rule); }
        th { font-weight: 600; }
        tbody th { font-weight: 400; max-width: 22em; }
        td { max-width: 26em; }
        th:first-child { position: sticky; left: 0; background: var(--ground); }
        .noted > * { border-bottom: 0; }
        .below td { max-width: none; padding-top: 0; color: var(--soft); }
        .below div { position: sticky; left: 0; width: max-content; max-width: min(60em, 100vw - 32px); }
        ol.faults { padding-left: 1.4em; max-width: 60em; }
        ol.faults > li { margin: 0 0 20px; }
        .fault { margin: 0; font-weight: 600; }
        ul.led { margin: 6px 0; padding-left: 1.2em; }
        ul.led li { margin: 2px 0; }
        thead th { vertical-align: bottom; border-bottom: 2px solid var(--rule); }
        th.n, td.n { text-align: right; white-space: nowrap; }
        .none { color: var(--soft); }
        .long { min-width: 15em; }
        .unit { display: block; color: var(--soft); font-weight: 400; font-size: 12px; }
        .grade { display: inline-block; padding: 0 6px; border: 1px solid var(--soft); border-radius: 4px; color: var(--ink);
          font-size: 12px; line-height: 18px; font-weight: 400; white-space: nowrap; }
        .grade.inferred { border-style: dashed; }
        .grade.modelled { border-style: dotted; border-width: 2px; padding: 0 5px; line-height: 16px; }
        .grade.assumed { border-style: double; border-width: 3px; padding: 0 4px; line-height: 14px; }
        details { margin: 10px 0; }
        summary { cursor: pointer; color: var(--link); font-size: 14px; padding: 4px 0; }
        code { font: 0.92em/1.4 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; background: var(--faint); padding: 1px 4px; border-radius: 3px; }
        .chart { display: block; width: 100%; max-width: 820px; height: auto; overflow: visible; }
        .wide { display: none; }
        .narrow { max-width: 440px; }
        @media (min-width: 760px) { .wide { display: block; } .narrow { display: none; } }

        """

    private static let printSheet: StaticString = """

        @media print {
          :root { color-scheme: light; --ground: #ffffff; --ink: #000000; --soft: #333333; --rule: #999999; --faint: #ffffff;
            --bar: #555555; --reference: #999999; --link: #000000;
            --s0: #004a80; --s1: #9c3d00; --s2: #005c4a; --s3: #70306a; --s4: #614a00; --s5: #303f4a; }
          @page { margin: 16mm; }
          body { max-width: none; padding: 0; font-size: 11pt; }
          header { padding-top: 0; }
          .skip, nav, details:not([open]) { display: none; }
          .wide { display: block; } .narrow { display: none; }
          figure, tr { break-inside: avoid; }
          h2, h3, figcaption, .caption { break-after: avoid; }
          .scroll { overflow: visible; background: none; }
          th:first-child { position: static; }
          .below div { position: static; width: auto; max-width: none; }
          table { font-size: 8pt; overflow-wrap: break-word; }
          th, td { padding: 4px 8px 4px 0; }
          .long { min-width: 0; }
          .bar, .point, .mark { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
        }

        """

    /// What charts have in common, in a page or alone.
    private static let chartSheet: StaticString = """

        .chart text { font-size: 12px; fill: var(--ink); font-variant-numeric: tabular-nums; }
        .chart .tick, .chart .axis { fill: var(--soft); }
        .chart .name, .chart .number { font-weight: 600; }
        .chart .halo { paint-order: stroke; stroke: var(--ground); stroke-width: 4px; stroke-linejoin: round; }
        .grid { stroke: var(--rule); stroke-width: 1; }
        .zero { stroke: var(--soft); stroke-width: 1; }
        .bar { fill: var(--bar); }
        .bar.reference { fill: var(--reference); }
        .mark-line { stroke: var(--ink); stroke-width: 1; stroke-dasharray: 3 2; }
        .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
        .mark { stroke: var(--ground); stroke-width: 1; }
        .reading { fill: transparent; }
        .reading:hover { fill: var(--ink); fill-opacity: 0.08; }
        .point { fill: var(--ground); stroke: var(--reference); stroke-width: 2; }
        .point.front { fill: var(--s1); stroke: var(--s1); }
        .front-line { fill: none; stroke: var(--s1); stroke-width: 1.5; stroke-dasharray: 5 3; }
        .leader { stroke: var(--soft); stroke-width: 1; }
        .line.s0 { stroke: var(--s0); } .line.s1 { stroke: var(--s1); } .line.s2 { stroke: var(--s2); }
        .line.s3 { stroke: var(--s3); } .line.s4 { stroke: var(--s4); } .line.s5 { stroke: var(--s5); }
        .mark.s0 { fill: var(--s0); } .mark.s1 { fill: var(--s1); } .mark.s2 { fill: var(--s2); }
        .mark.s3 { fill: var(--s3); } .mark.s4 { fill: var(--s4); } .mark.s5 { fill: var(--s5); }

        """

    private static let pictureSheet: StaticString = """

        svg { color-scheme: light dark; --ground: #ffffff; --ink: #1a1d21; --soft: #555d66; --rule: #d5dae0; --bar: #2f6fa8;
          --reference: #7b858f;
          --s0: #0060a8; --s1: #b34700; --s2: #00735c; --s3: #8a3d82; --s4: #7a5c00; --s5: #3d4f5d; }
        @media (prefers-color-scheme: dark) { svg { --ground: #15181c; --ink: #e8eaed; --soft: #aab2bb; --rule: #3a4149;
          --bar: #6fb0e8; --reference: #98a2ac;
          --s0: #6fb6f2; --s1: #ff9e5e; --s2: #4fcfae; --s3: #dd9ad6; --s4: #e2c04c; --s5: #b4c2cc; } }
        .chart { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif; }
        .ground { fill: var(--ground); }
        .chart .heading { font-size: 15px; font-weight: 600; }

        """
}
