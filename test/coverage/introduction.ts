// What docs/coverage.md says before the figures.

export const introduction = `# Coverage

Which lines, branches and functions of \`src\` the tests run, and of each place that they do not, why not. This page is written by the command, not by hand:

\`\`\`sh
npm run coverage                 # runs the suite with V8's coverage, prints the table and what has no reason
npm run coverage -- --write      # the same, and writes this page
npm run coverage -- --only test/core --of src/core      # a part of the suite, and what it covers of a part of src
\`\`\`

There is no threshold: a percentage that must be reached is reached by tests that run code and look at nothing. Instead every place that does not run is in a list, \`test/coverage/uncovered.json\`, with a reason that a person wrote. The command ends with 1 when a place has none
(\`UNEXPLAINED\`), and when an entry is about code that is not there any more (\`GONE\`). An entry whose code ran this time is told of: a random test may have met it, or a new test covers it, and then the entry goes. Entries name code by its text, so they stay true when lines move.

What counts:

- All files under \`src\`, whether a test imports them or not: the fakes, conformance suites and the simulator of \`tidemark/testing\` too, since they are shipped. Files that hold types alone have nothing that could run.
- What runs in the test's own process: the suite of \`npm test\`, and a slice of the simulation. What child processes run (processes that are killed or frozen, \`npm run torture\`, the demo) is not seen by it, and does not count.
- Code that ran is not code that was checked. [guarantees.md](guarantees.md) says what is checked, and how.
- The simulator runs some paths only in planted bugs, with a rule of the protocol switched off; they count like any other.
- A place is the largest piece of code of which nothing ran: a function that nobody called is one place, not each of its lines. \`never true\` and \`never false\` are about an \`if\` whose condition was always the other.
`;
