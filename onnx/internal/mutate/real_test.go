package mutate_test

import "testing"

func realModels(testing.TB) []seed { return nil }
