import rae from "./index.js";

export const {
  open,
  connect,
  version,
  Hits,
  LlmStream,
  Metered,
  Rae,
  RaeError,
  InvalidInputError,
  PermissionDeniedError,
  BudgetExceededError,
  NotFoundError,
  ConflictError,
  RateLimitedError,
  TimeoutError,
  CancelledError,
  UnavailableError,
  UnsupportedError,
  CorruptError,
  InternalError,
} = rae;
