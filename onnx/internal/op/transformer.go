package op

// transformerOperators are the parts of transformers that operator set 23 brought.
func transformerOperators() map[string]Spec {
	return map[string]Spec{}
}
