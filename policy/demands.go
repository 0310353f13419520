package policy

// Demand is a section that the document has and somebody has to enforce.
type Demand struct {
	// Section is its name: "app.image", "callers.oidc", "limits.memory".
	Section string
	// Line is where the document has it first.
	Line int
}
