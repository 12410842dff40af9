package op

// tensorDefs: operators that move, select or describe values.
var tensorDefs = []Def{}
