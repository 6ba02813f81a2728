/** Order statistics of measurements, as reports have them too. */
export { median, quantile } from "../cli/report/statistics.ts";
