/** For tests: where the tiny models lie. */
import { join } from "node:path";

/** The fixtures' directory. */
export const FIXTURES: string = join(import.meta.dirname!, "../../../tests/fixtures");
