"""Salesforce: several orgs behind one address, with the real one's protocols."""
