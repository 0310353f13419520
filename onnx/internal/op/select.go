package op

// selectOperators choose elements by what they hold.
func selectOperators() map[string]Spec {
	return map[string]Spec{}
}
