// Makes the replica set and its three accounts, once; run again it changes nothing but passwords.
// It shares the network of the first member, because MongoDB lets who comes from the same machine make the first
// account, and nobody afterwards: https://www.mongodb.com/docs/manual/core/localhost-exception/
const fs = require("fs");
const secret = (name) => fs.readFileSync(`/run/secrets/${name}`, "utf8").trim();
const members = ["mongo-0", "mongo-1", "mongo-2"];
const admin = db.getSiblingDB("admin");

const isKnown = () => {
  try {
    return admin.auth("admin", secret("mongo_admin_password")).ok === 1;
  } catch (error) {
    return false;
  }
};

if (!isKnown()) {
  try {
    rs.initiate({
      _id: "fhir",
      // The first one leads at first, so that the accounts can be made where this script is.
      members: members.map((host, number) => ({ _id: number, host: `${host}:27017`, priority: number ? 1 : 2 })),
    });
  } catch (error) {
    if (error.codeName !== "AlreadyInitialized") throw error;
  }
  for (let tries = 0; !db.hello().isWritablePrimary; tries++) {
    if (tries >= 120) throw new Error("The first member does not lead: are all three members running?");
    sleep(1000);
  }
  admin.createUser({ user: "admin", pwd: secret("mongo_admin_password"), roles: ["root"] });
  if (!isKnown()) throw new Error("The account of the administrator was not made.");
}

// The server sees its two databases and nothing else; the backup reads everything and writes nothing.
const accounts = {
  fhir: { password: "mongo_fhir_password", roles: ["fhir", "fhir_audit"].map((name) => ({ role: "readWrite", db: name })) },
  backup: { password: "mongo_backup_password", roles: ["backup"] },
};
// Whichever member leads by now.
const login = `admin:${encodeURIComponent(secret("mongo_admin_password"))}`;
const leader = connect(`mongodb://${login}@${members.join(",")}/admin?replicaSet=fhir`);
// mongorestore --oplogReplay asks for it; root is not enough.
if (!leader.getRole("restoring")) {
  const everything = [{ resource: { anyResource: true }, actions: ["anyAction"] }];
  leader.createRole({ role: "restoring", privileges: everything, roles: [] });
  leader.grantRolesToUser("admin", ["restoring"]);
}
for (const [user, { password, roles }] of Object.entries(accounts)) {
  if (leader.getUser(user)) leader.updateUser(user, { pwd: secret(password), roles });
  else leader.createUser({ user, pwd: secret(password), roles });
}
print("The replica set is there, and so are its accounts.");
