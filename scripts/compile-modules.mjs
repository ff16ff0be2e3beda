// Runs compile-modules in Pyodide, which is CPython as WebAssembly: compile-modules.mjs FOLDER PLACE VERSION
import { readFileSync } from "node:fs";
import { loadPyodide } from "pyodide";

async function firstProblem(folder, place, version) {
  // A fixed seed, so that the order of sets and dictionaries is the same every time.
  const python = await loadPyodide({ env: { PYTHONHASHSEED: "0" } });
  python.mountNodeFS("/modules", folder);
  const program = python.toPy({ __name__: "compile_modules" });
  python.runPython(readFileSync(new URL("compile-modules", import.meta.url), "utf8"), { globals: program });
  return program.get("first_problem")("/modules", place, version);
}

// Node.js would print the line that threw, and all of Pyodide is one line.
const problem = await firstProblem(...process.argv.slice(2)).catch((error) => error.stack);
if (problem) {
  console.error(problem);
  process.exitCode = 1;
}
